package ui

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// Bounds of an export: it reads all evidence there is, a page at a time, and holds little
// of it.
const (
	maxExporting = 2 // exports under way at the same time
	exportTime   = 15 * time.Minute
	pieceTime    = 30 * time.Second // for whoever takes it to take the next piece
)

// apiEvidence answers with what the latest verdict was made from, as parallax verdict
// --from reads it. It is JSON lines; an answer without the line that ends it broke off.
func (s *Server) apiEvidence(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	if c.Request().Method == http.MethodHead {
		return c.NoContent(http.StatusOK)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), exportTime)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	c.Response().Header().Set(echo.HeaderContentType, "application/x-ndjson")
	out := &pieces{to: c.Response(), control: http.NewResponseController(c.Response().Writer)}
	if err := service.Judge.Export(ctx, out); err != nil {
		if c.Response().Committed {
			s.log.Warn("an export of evidence broke off", "service", service.Name, "error", err)
		}
		return err
	}
	return nil
}

// pieces writes an answer that is larger than the time of one answer allows.
type pieces struct {
	to      http.ResponseWriter
	control *http.ResponseController
}

func (p *pieces) Write(piece []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(pieceTime)) // a recorder in a test has none
	return p.to.Write(piece)
}
