package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"parallax/cmd/demoshop/shop/internal/data"
)

// Options are what the routes know besides the version.
type Options struct {
	Name   string                      // of the version, in X-Version and GET /healthz
	Given  bool                        // ids are computed from requests: a write needs something to compute them from
	Health func(context.Context) error // nil error: the database answers
	Log    *slog.Logger
}

// Handler returns the routes of the shop.
func Handler(v Version, o Options) http.Handler {
	s := routes{Version: v, Options: o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /products", reads(s, s.products))
	mux.HandleFunc("POST /customers", writes(s, s.register))
	mux.HandleFunc("POST /sessions", writes(s, s.logIn))
	mux.HandleFunc("DELETE /sessions", known(s, s.logOut))
	mux.HandleFunc("POST /orders", known(s, s.place))
	mux.HandleFunc("GET /orders", known(s, s.list))
	mux.HandleFunc("GET /orders/{id}", known(s, s.order))
	mux.HandleFunc("PATCH /orders/{id}", known(s, s.change))
	mux.HandleFunc("POST /orders/{id}/cancel", known(s, s.cancel))
	mux.HandleFunc("POST /orders/{id}/pay", known(s, s.pay))
	return s.marked(mux)
}

type routes struct {
	Version
	Options
}

// reply is an answer that is no error. Without a value there is no body.
type reply struct {
	status   int
	value    any
	location string
}

// marked says which version answers, and keeps where the request comes from.
func (s routes) marked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Version", s.Name)
		next.ServeHTTP(w, r.WithContext(data.WithOrigin(r.Context(), data.OriginOf(r.Header))))
	})
}

// reads is a route for everybody that changes nothing.
func reads(s routes, f func(*http.Request) (reply, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := f(r)
		if err != nil {
			fail(w, r, s.Log, err)
			return
		}
		if out.location != "" {
			w.Header().Set("Location", out.location)
		}
		if out.value == nil {
			w.WriteHeader(out.status)
			return
		}
		answer(w, out.status, out.value)
	}
}

// writes is a route for everybody that changes something.
func writes(s routes, f func(*http.Request) (reply, error)) http.HandlerFunc {
	return reads(s, func(r *http.Request) (reply, error) {
		if s.Given && r.Method != http.MethodGet && data.From(r.Context()).Key == "" {
			return reply{}, Fault{http.StatusBadRequest, "this shop takes ids from the request: send an Idempotency-Key"}
		}
		return f(r)
	})
}

// known is a route for those who have a session.
func known(s routes, f func(*http.Request, Visitor) (reply, error)) http.HandlerFunc {
	return writes(s, func(r *http.Request) (reply, error) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || token == "" || len(token) > 200 || strings.ContainsRune(token, 0) {
			return reply{}, NoSession
		}
		who, err := s.Visitor(r.Context(), token)
		if err != nil {
			return reply{}, err
		}
		return f(r, who)
	})
}

func (s routes) health(w http.ResponseWriter, r *http.Request) {
	if err := s.Health(r.Context()); err != nil {
		answer(w, http.StatusServiceUnavailable, Health{"the database is away", s.Name})
		return
	}
	answer(w, http.StatusOK, Health{"ok", s.Name})
}

func (s routes) products(r *http.Request) (reply, error) {
	list, err := s.Products(r.Context())
	return reply{status: http.StatusOK, value: map[string][]Product{"products": list}}, err
}

func (s routes) register(r *http.Request) (reply, error) {
	var in Registration
	if err := read(r, &in); err != nil {
		return reply{}, err
	}
	if err := in.check(); err != nil {
		return reply{}, err
	}
	customer, err := s.Register(r.Context(), in)
	return reply{status: http.StatusCreated, value: customer}, err
}

func (s routes) logIn(r *http.Request) (reply, error) {
	var in Credentials
	if err := read(r, &in); err != nil {
		return reply{}, err
	}
	if err := in.check(); err != nil {
		return reply{}, err
	}
	session, err := s.LogIn(r.Context(), in)
	return reply{status: http.StatusCreated, value: session}, err
}

func (s routes) logOut(r *http.Request, who Visitor) (reply, error) {
	return reply{status: http.StatusNoContent}, s.LogOut(r.Context(), who)
}

func (s routes) place(r *http.Request, who Visitor) (reply, error) {
	var in NewOrder
	if err := read(r, &in); err != nil {
		return reply{}, err
	}
	if err := in.check(); err != nil {
		return reply{}, err
	}
	order, err := s.Place(r.Context(), who, in)
	return reply{status: http.StatusCreated, value: order, location: fmt.Sprintf("/orders/%d", order.ID)}, err
}

// pageSize is how many orders a page has at most, and if nobody asks for less.
const pageSize = 20

func (s routes) list(r *http.Request, who Visitor) (reply, error) {
	limit := pageSize
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > pageSize {
			return reply{}, Fault{http.StatusBadRequest, fmt.Sprintf("limit is not a number from 1 to %d", pageSize)}
		}
		limit = n
	}
	page, err := s.List(r.Context(), who, r.URL.Query().Get("cursor"), limit)
	return reply{status: http.StatusOK, value: page}, err
}

func (s routes) order(r *http.Request, who Visitor) (reply, error) {
	id, err := orderID(r)
	if err != nil {
		return reply{}, err
	}
	order, err := s.Order(r.Context(), who, id)
	return reply{status: http.StatusOK, value: order}, err
}

func (s routes) change(r *http.Request, who Visitor) (reply, error) {
	id, err := orderID(r)
	if err != nil {
		return reply{}, err
	}
	var in Change
	if err := read(r, &in); err != nil {
		return reply{}, err
	}
	if err := in.check(); err != nil {
		return reply{}, err
	}
	order, err := s.Change(r.Context(), who, id, in)
	return reply{status: http.StatusOK, value: order}, err
}

func (s routes) cancel(r *http.Request, who Visitor) (reply, error) {
	id, err := orderID(r)
	if err != nil {
		return reply{}, err
	}
	order, err := s.Cancel(r.Context(), who, id)
	return reply{status: http.StatusOK, value: order}, err
}

func (s routes) pay(r *http.Request, who Visitor) (reply, error) {
	id, err := orderID(r)
	if err != nil {
		return reply{}, err
	}
	var in Payment
	if err := read(r, &in); err != nil {
		return reply{}, err
	}
	if err := in.check(); err != nil {
		return reply{}, err
	}
	order, err := s.Pay(r.Context(), who, id, in)
	return reply{status: http.StatusOK, value: order}, err
}

func orderID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, NoOrder
	}
	return id, nil
}

// maxBody is the longest body that is read.
const maxBody = 64 << 10

// read reads a request's body: one JSON value with known fields.
func read(r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	d.DisallowUnknownFields()
	var tooLong *http.MaxBytesError
	switch err := d.Decode(into); {
	case errors.As(err, &tooLong):
		return Fault{http.StatusRequestEntityTooLarge, "the body is too long"}
	case err != nil:
		return Fault{http.StatusBadRequest, "the body is not the JSON that belongs here"}
	}
	if _, err := d.Token(); err != io.EOF {
		return Fault{http.StatusBadRequest, "the body does not end after its JSON"}
	}
	return nil
}
