package mirror

import (
	"strings"

	"parallax"
)

// ofGRPC reports whether a message is one of gRPC. gRPC-Web is not: it is made to
// pass as ordinary HTTP.
func ofGRPC(headers []parallax.Field) bool {
	kind := value(headers, "Content-Type")
	const grpc = "application/grpc"
	if len(kind) < len(grpc) || !strings.EqualFold(kind[:len(grpc)], grpc) {
		return false
	}
	rest := kind[len(grpc):]
	return rest == "" || rest[0] == '+' || rest[0] == ';'
}
