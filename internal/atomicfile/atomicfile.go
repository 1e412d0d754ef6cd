// Package atomicfile replaces small files as a whole.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace writes text to path, so that a reader, a crash or a full disk at any moment
// finds what was there before or all of text. It makes the folder if there is none.
// The text goes to a new file beside it, whose name nobody else has, is synced, and
// renamed over the old one; then the folder is synced. So several processes may
// replace one file at a time: the last one counts. After an error of the last step the new
// text is there, though perhaps not after a power cut. A crash in between may leave a file
// NAME.*.new, which nobody reads. Only the owner may read the file.
func Replace(path string, text []byte) error { return ReplaceAs(path, text, 0o600) }

// ReplaceAs is Replace of a file that others may read too, as its permissions say.
func ReplaceAs(path string, text []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncDir(dir)
}

// syncDir makes the rename itself durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
