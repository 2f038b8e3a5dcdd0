-- This number belongs to another change of the same days.
SELECT 1;
