package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Version is the version of libchdb that Parallax is built for, as npm spells
// it. The lock file in npm/ pins the same one.
const Version = "26.7.3-stable.1"

// ErrMissing is wrapped by the error of Find when there is no libchdb.
var ErrMissing = errors.New("the ClickHouse engine (libchdb) is not installed")

// Find returns the path of libchdb. It looks at $PARALLAX_LIBCHDB, then beside
// this binary, then where make setup puts it:
// ${XDG_CACHE_HOME:-~/.cache}/parallax/VERSION/libchdb.so. The error wraps
// ErrMissing and says what to do.
func Find(getenv func(string) string) (string, error) {
	if path := getenv("PARALLAX_LIBCHDB"); path != "" {
		if !isFile(path) {
			return "", fmt.Errorf("%w: PARALLAX_LIBCHDB is %q, but there is no such file: correct it, or unset it and run make setup", ErrMissing, path)
		}
		return filepath.Abs(path)
	}
	var places []string
	if exe, err := os.Executable(); err == nil {
		places = append(places, filepath.Join(filepath.Dir(exe), "libchdb.so"))
	}
	cache := getenv("XDG_CACHE_HOME")
	if home := getenv("HOME"); cache == "" && home != "" {
		cache = filepath.Join(home, ".cache")
	}
	if cache != "" {
		places = append(places, filepath.Join(cache, "parallax", Version, "libchdb.so"))
	}
	for _, path := range places {
		if isFile(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: run make setup, or set PARALLAX_LIBCHDB to a libchdb.so of version %s (looked in %q)", ErrMissing, Version, places)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
