package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

func ExampleClient_Submit() {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		io.WriteString(w, `{"code":"expired","detail":"valid until height 9, the next block is 12","status":422}`)
	}))
	defer node.Close()

	c, err := client.New(node.URL, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	tx, err := c.Submit(context.Background(), "my-rollup", []byte{1, 2, 3})
	var refused *client.Problem
	switch {
	case errors.As(err, &refused) && refused.Code == v1.CodeExpired:
		fmt.Println("seal again:", refused.Detail)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println("receipt at position", tx.Receipt.Position)
	}
	// Output: seal again: valid until height 9, the next block is 12
}
