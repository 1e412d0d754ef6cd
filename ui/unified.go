package ui

// unifiedLayout is the value of layout that shows bodies in one column.
const unifiedLayout = "unified"

// unifiedLine is a line of both bodies in one column. A number of 0 says that the side
// does not have it.
type unifiedLine struct {
	parts
	Sign, Class     string
	LeftNo, RightNo int
	Skipped         int // above 0: it stands for so many equal lines
}

// lay chooses how two bodies are laid out; the page's own address is where links lead.
func (v *bodyView) lay(layout, here string) {
	if len(v.Rows) == 0 {
		return
	}
	v.Layouts = []link{
		{Text: "side by side", URL: with(here, "layout", "") + "#body", Current: layout == ""},
		{Text: "in one column", URL: with(here, "layout", unifiedLayout) + "#body", Current: layout == unifiedLayout},
	}
	if layout == unifiedLayout {
		v.Unified = unified(v.Rows)
	}
}

// unified puts rows into one column: of each run of changes what went before what came.
func unified(rows []viewRow) (out []unifiedLine) {
	var came []unifiedLine
	for _, r := range rows {
		if r.Mark == same || r.Skipped > 0 {
			out, came = append(out, came...), nil
			out = append(out, unifiedLine{parts: parts{Before: r.Left}, Sign: " ", LeftNo: r.LeftNo, RightNo: r.RightNo, Skipped: r.Skipped})
			continue
		}
		if r.LeftNo > 0 {
			out = append(out, unifiedLine{parts: r.L, Sign: "−", Class: "gone", LeftNo: r.LeftNo})
		}
		if r.RightNo > 0 {
			came = append(came, unifiedLine{parts: r.R, Sign: "+", Class: "new", RightNo: r.RightNo})
		}
	}
	return append(out, came...)
}
