package redisqueue

import (
	"strconv"
	"strings"
	"time"

	"parallax"
)

// tag is what stands beside a sealed exchange in the clear: its cell, which is service, endpoint
// and minute of receipt, and its id, with a zero byte between all of them.
func tag(x *parallax.Exchange) string {
	return cell(x.Stamp()) + "\x00" + x.ID.String()
}

func cell(s parallax.Stamp) string {
	return s.Service + "\x00" + s.Endpoint + "\x00" + strconv.FormatInt(s.Received.Unix()/60, 10)
}

// stampOf reads a cell, or the one in a tag. Its time is that of the minute's begin.
func stampOf(text string) (s parallax.Stamp, ok bool) {
	parts := strings.Split(text, "\x00")
	if len(parts) != 3 && len(parts) != 4 {
		return s, false
	}
	minute, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return s, false
	}
	return parallax.Stamp{Service: parts[0], Endpoint: parts[1], Received: time.Unix(minute*60, 0).UTC()}, true
}
