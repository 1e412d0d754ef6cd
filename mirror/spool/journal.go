package spool

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
)

// magic begins every journal, with its version.
const magic = "parallax spool 1\n"

// kind is what a record says of a write.
type kind byte

const (
	kept  kind = 'w' // the write itself
	begun kind = 'b' // it is about to be sent
	again kind = 'a' // it was not sent after all
	ended kind = 'd' // it needs nothing any more
)

// maxRecord bounds one record, in bytes: a request and an answer of the largest
// size that mirror.max_body allows, with their heads.
const maxRecord = 3 << 30

// recordHead is what stands before what is sealed: kind, number, length.
const recordHead = 1 + 8 + 4

var errChanged = errors.New("a record is damaged, or was written with other keys")

// journal is one file. It is locked as long as it is open.
type journal struct {
	path string
	left int // writes of it that are not over; guarded by Spool.mu

	mu    sync.Mutex
	file  *os.File
	size  int64
	dirty bool // not synced
}

// create makes a journal that nobody else has.
func create(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		_, err = file.WriteString(magic)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(path))
	}
	return &journal{path: path, file: file, size: int64(len(magic)), dirty: true}, nil
}

// adopt opens a journal that a process has left; nil without an error if one still
// has it.
func adopt(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, err
	}
	return &journal{path: path, file: file}, nil
}

// append writes a record and returns where it stands and how long it is.
func (j *journal) append(box cipher.AEAD, bound []byte, k kind, number uint64, content []byte) (at, size int64, err error) {
	record := make([]byte, recordHead+box.NonceSize(), recordHead+box.NonceSize()+len(content)+box.Overhead())
	record[0] = byte(k)
	binary.BigEndian.PutUint64(record[1:], number)
	binary.BigEndian.PutUint32(record[9:], uint32(box.NonceSize()+len(content)+box.Overhead()))
	nonce := record[recordHead:]
	if _, err := rand.Read(nonce); err != nil {
		return 0, 0, err
	}
	record = box.Seal(record, nonce, content, binding(record, bound))
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.WriteAt(record, j.size); err != nil {
		return 0, 0, errors.Join(err, j.file.Truncate(j.size))
	}
	at, size = j.size, int64(len(record))
	j.size += size
	j.dirty = true
	return at, size, nil
}

// binding is what a seal covers besides its content: the record's head, the service
// and the leg.
func binding(record, bound []byte) []byte {
	return append(append(make([]byte, 0, recordHead+len(bound)), record[:recordHead]...), bound...)
}

// read returns the record at a place. io.EOF says that there is none,
// io.ErrUnexpectedEOF that it is incomplete.
func (j *journal) read(box cipher.AEAD, bound []byte, at int64) (k kind, number uint64, content []byte, size int64, err error) {
	var head [recordHead]byte
	if n, err := j.file.ReadAt(head[:], at); n < len(head) {
		if n > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, 0, nil, 0, err
	}
	length := int64(binary.BigEndian.Uint32(head[9:]))
	info, err := j.file.Stat()
	if err != nil {
		return 0, 0, nil, 0, err
	}
	if at+recordHead+length > info.Size() {
		return 0, 0, nil, 0, io.ErrUnexpectedEOF
	}
	if length < int64(box.NonceSize()+box.Overhead()) || length > maxRecord {
		return 0, 0, nil, 0, errChanged
	}
	sealed := make([]byte, length)
	if _, err := j.file.ReadAt(sealed, at+recordHead); err != nil {
		return 0, 0, nil, 0, err
	}
	content, err = box.Open(nil, sealed[:box.NonceSize()], sealed[box.NonceSize():], binding(head[:], bound))
	if err != nil {
		return 0, 0, nil, 0, errChanged
	}
	return kind(head[0]), binary.BigEndian.Uint64(head[1:]), content, recordHead + length, nil
}

// replay reads all records. What is incomplete at the end is cut off.
func (j *journal) replay(box cipher.AEAD, bound []byte, each func(k kind, number uint64, content []byte, at, size int64) error) error {
	begin := make([]byte, len(magic))
	if n, err := j.file.ReadAt(begin, 0); n < len(magic) && err == io.EOF {
		return j.cut(0) // it was just being made
	} else if err != nil && err != io.EOF {
		return err
	}
	if string(begin) != magic {
		return errors.New("this is no spool, or one of another version")
	}
	at := int64(len(magic))
	for {
		k, number, content, size, err := j.read(box, bound, at)
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return j.cut(at)
		default:
			return fmt.Errorf("at byte %d: %w", at, err)
		}
		if err := each(k, number, content, at, size); err != nil {
			return fmt.Errorf("at byte %d: %w", at, err)
		}
		at += size
	}
}

func (j *journal) cut(at int64) error {
	j.size = at
	return j.file.Truncate(at)
}

// sync puts what was written since the last time on disk.
func (j *journal) sync() error {
	j.mu.Lock()
	dirty := j.dirty
	j.dirty = false
	j.mu.Unlock()
	if !dirty {
		return nil
	}
	return j.file.Sync()
}

// close lets go of the file, which another process may then take over.
func (j *journal) close() error { return j.file.Close() }

// remove ends a journal whose writes are all over.
func (j *journal) remove() error { return errors.Join(os.Remove(j.path), j.file.Close()) }
