// Package interop holds tests only: public tools of the transparency ecosystem, unmodified, work on Scrim's log.
package interop
