package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parallax/divergence"
)

func TestStorePasswordFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, empty := filepath.Join(dir, "password"), filepath.Join(dir, "empty")
	for name, text := range map[string]string{file: "p@ss/w:rd?\n", empty: "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := StoreConfig{ClickHouse: "http://ann@db:8123/parallax", PasswordFile: file}
	dsn, err := good.dsn()
	if err != nil {
		t.Fatal(err)
	}
	opts, err := divergence.ParseDSN(dsn)
	if err != nil || opts.Auth.Username != "ann" || opts.Auth.Password != "p@ss/w:rd?" {
		t.Errorf("%+v, %v", opts, err)
	}
	f := func(want string, c StoreConfig) {
		t.Helper()
		faults := c.passwordFaults()
		switch {
		case want == "" && len(faults) > 0, want != "" && (len(faults) != 1 || !strings.Contains(faults[0].Text, want)):
			t.Errorf("%+v: %v, want %q", c, faults, want)
		}
		for _, fault := range faults {
			if strings.Contains(fault.Text+fault.Hint, "secret") {
				t.Errorf("%v repeats the password", fault)
			}
		}
	}
	f("", good)
	f("", StoreConfig{ClickHouse: "http://ann:secret@db:8123/parallax"})
	f("means nothing", StoreConfig{PasswordFile: file})
	f("names none", StoreConfig{ClickHouse: "http://db:8123/parallax", PasswordFile: file})
	f("there is a password", StoreConfig{ClickHouse: "http://ann:secret@db:8123/parallax", PasswordFile: file})
	f("1 to 1024 bytes", StoreConfig{ClickHouse: good.ClickHouse, PasswordFile: empty})
	f("no such file", StoreConfig{ClickHouse: good.ClickHouse, PasswordFile: filepath.Join(dir, "none")})
}
