package mirror_test

import (
	"io"
	"log"
)

// quiet is for servers that would complain about what a test does to them.
var quiet = log.New(io.Discard, "", 0)
