package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"parallax"
	"parallax/divergence"
	"parallax/internal/tlsfiles"
)

// options are how the store is reached; without an address, those of nothing yet.
func (c StoreConfig) options() (*divergence.Options, error) {
	dsn, err := c.dsn()
	if err != nil {
		return nil, err
	}
	opts, err := storeOptions(dsn)
	if err == nil && opts.TLS != nil {
		err = c.tls().Into(opts.TLS)
	}
	return opts, err
}

func (c StoreConfig) tls() tlsfiles.Client {
	return tlsfiles.Client{CA: c.CA, Cert: c.Cert, Key: c.Key}
}

// tlsFaults says what is wrong with the files of TLS.
func (c StoreConfig) tlsFaults() []parallax.Fault {
	opts, err := storeOptions(c.ClickHouse)
	if err != nil && c.ClickHouse != "" {
		return nil // said of the address
	}
	return c.tls().Validate(err == nil && opts.TLS != nil, "an address with https:// in store.clickhouse")
}

// dsn is the address of the store with the password that password_file holds.
func (c StoreConfig) dsn() (string, error) {
	if c.PasswordFile == "" {
		return c.ClickHouse, nil
	}
	password, err := readStorePassword(c.PasswordFile)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(c.ClickHouse)
	if err != nil || u.User.Username() == "" {
		return "", errors.New("cannot read the address of the ClickHouse server: password_file is for a user, as in http://parallax@host:8123/parallax")
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String(), nil
}

func readStorePassword(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot read the password of the store: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" || len(password) > 1024 {
		return "", fmt.Errorf("cannot use %s: a password has 1 to 1024 bytes", file)
	}
	return password, nil
}

// passwordFaults says what is wrong with password_file; no fault repeats the address.
func (c StoreConfig) passwordFaults() []parallax.Fault {
	wrong := func(text, hint string) []parallax.Fault {
		return []parallax.Fault{{Path: "store.password_file", Text: text, Hint: hint}}
	}
	u, err := url.Parse(c.ClickHouse)
	switch {
	case c.PasswordFile == "":
		return nil
	case c.ClickHouse == "":
		return wrong("means nothing without clickhouse", "name a server in store.clickhouse, or leave it out")
	case err != nil: // said of the address
		return nil
	case u.User.Username() == "":
		return wrong("is for a user, and the address names none", "write it like http://parallax@host:8123/parallax")
	}
	if _, given := u.User.Password(); given {
		return wrong("there is a password in clickhouse too", "keep one of them")
	}
	if _, err := readStorePassword(c.PasswordFile); err != nil {
		return wrong(err.Error(), "")
	}
	return nil
}
