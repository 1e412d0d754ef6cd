package debezium

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// readTime reads a date, a time of day or an instant: as ISO 8601, with Z where the
// column knows zones and without where it does not.
func (s *schema) readTime(raw json.RawMessage) (string, error) {
	if raw[0] == '"' {
		t, err := text(raw)
		if err != nil {
			return "", err
		}
		return s.timeText(t), nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return "", errors.New("is neither a text nor a whole number: the schema says that it is a time")
	}
	switch s.Name {
	case timeTypes + "Date", connectTypes + "Date":
		if n < -1e9 || n > 1e9 {
			return string(raw), nil
		}
		return written(time.Unix(n*86400, 0), time.DateOnly, raw), nil
	case timeTypes + "Timestamp", connectTypes + "Timestamp":
		return written(time.UnixMilli(n), stamp, raw), nil
	case timeTypes + "MicroTimestamp":
		return written(time.UnixMicro(n), stamp, raw), nil
	case timeTypes + "NanoTimestamp":
		return written(time.Unix(0, n), stamp, raw), nil
	case timeTypes + "Time", connectTypes + "Time":
		return clock(n, 1e6), nil
	case timeTypes + "MicroTime":
		return clock(n, 1e3), nil
	case timeTypes + "NanoTime":
		return clock(n, 1), nil
	}
	return string(raw), nil
}

const stamp = "2006-01-02T15:04:05.999999999"

// written writes a time by a layout, or the number as it came where the year has no
// four digits: infinity, of which each database has its own.
func written(t time.Time, layout string, raw json.RawMessage) string {
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return string(raw)
	}
	return t.Format(layout)
}

// timeText brings a time that came as a text into the form of those that did not.
func (s *schema) timeText(text string) string {
	switch s.Name {
	case timeTypes + "ZonedTimestamp":
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return t.UTC().Format(time.RFC3339Nano)
		}
	case timeTypes + "IsoTimestamp": // of a column without a zone, whatever it ends with
		if t, err := time.Parse(stamp, strings.TrimSuffix(text, "Z")); err == nil {
			return t.Format(stamp)
		}
	case timeTypes + "IsoDate", timeTypes + "IsoTime":
		return strings.TrimSuffix(text, "Z")
	}
	return text
}

// clock writes a time of day of n units, each of so many nanoseconds. MySQL's go from
// -838:59:59 to 838:59:59.
func clock(n, unit int64) string {
	if n > math.MaxInt64/unit || n < -math.MaxInt64/unit {
		return strconv.FormatInt(n, 10)
	}
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	d := time.Duration(n * unit)
	out := fmt.Sprintf("%s%02d:%02d:%02d", sign, d/time.Hour, d/time.Minute%60, d/time.Second%60)
	if rest := d % time.Second; rest > 0 {
		out += strings.TrimRight(fmt.Sprintf(".%09d", rest), "0")
	}
	return out
}
