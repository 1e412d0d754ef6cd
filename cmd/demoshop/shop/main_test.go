package shop_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"parallax/internal/rig"
)

func TestMain(m *testing.M) {
	code := m.Run()
	rig.Clean()
	if err := goleak.Find(); err != nil && code == 0 {
		os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
}
