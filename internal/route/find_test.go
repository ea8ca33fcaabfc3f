package route

import (
	"fmt"
	"testing"
)

func TestFind(t *testing.T) {
	table, err := NewTable([]Route{
		{Method: "GET", Template: "/users/{id}", Backend: "https://h/u/{id}"},
		{Method: "ANY", Template: "/users/{id}", Backend: "https://h/any/{id}"},
		{Method: "GET", Template: "/a%20b", Backend: "https://h/"},
		{Method: "ANY", Template: "/files/{path+}", Backend: "https://h/{path}"},
		{Method: "GET", Template: "/", Backend: "https://h/"},
		CatchAll("https://h"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, template, path string
		want                   string
	}{
		{"GET", "/users/{id}", "/users/7", "GET /users/{id} [{id 7}] true"},
		{"GET", "/users/{id}", "/users/7/", "GET /users/{id} [{id 7}] true"},
		{"GET", "/users/{id}", "/users/a%2Fb", "GET /users/{id} [{id a%2Fb}] true"},
		{"GET", "/users/{id}", "/users/a/b", "GET /users/{id} [] false"},
		{"GET", "/users/{id}", "/users", "GET /users/{id} [] false"},
		{"GET", "/users/{id}", "/users/", "GET /users/{id} [] false"},
		{"GET", "/users/{id}", "/users//", "GET /users/{id} [] false"},
		{"GET", "/users/{id}", "users/7", "GET /users/{id} [] false"},
		{"PUT", "/users/{id}", "/users/7", "ANY /users/{id} [{id 7}] true"},
		{"ANY", "/users/{id}", "/users/7", "ANY /users/{id} [{id 7}] true"},
		{"GET", "/a%20b", "/a b", "GET /a%20b [] true"},
		{"GET", "/a%20b", "/a%20b", "GET /a%20b [] true"},
		{"GET", "/a%20b", "/a%2", "GET /a%20b [] false"},
		{"GET", "/a%20b", "/a%20b/c", "GET /a%20b [] false"},
		{"GET", "/files/{path+}", "/files/x//y/", "ANY /files/{path+} [{path x//y/}] true"},
		{"GET", "/files/{path+}", "/files/", "ANY /files/{path+} [] false"},
		{"GET", "/", "/", "GET / [] true"},
		{"GET", "/", "/x", "GET / [] false"},
		{"GET", "$default", "/x/y", "$default [] true"},
		{"PUT", "/", "/", "none"},
		{"GET", "/users/{other}", "/users/7", "none"},
	} {
		got := "none"
		if r := table.Find(tt.method, tt.template); r != nil {
			params, ok := r.Params(tt.path)
			got = fmt.Sprint(r.Name(), " ", params, " ", ok)
		}
		if got != tt.want {
			t.Errorf("%s %s for %s: %s, want %s", tt.method, tt.template, tt.path, got, tt.want)
		}
	}
}
