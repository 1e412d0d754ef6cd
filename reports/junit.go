package reports

import (
	"encoding/xml"
	"io"
	"strings"
	"time"
)

// WriteJUnit writes a report and a verdict as JUnit XML: one test case for the
// service and one for each endpoint and pool. Rollback is a failure; hold and what no test
// covers are skipped, with the reasons.
func WriteJUnit(w io.Writer, r Report, v Verdict) error {
	suite := junitSuite{Name: "parallax " + v.Service, Timestamp: v.AsOf.UTC().Format(time.RFC3339)}
	if v.Chain != "" {
		suite.Properties = &junitProperties{[]junitProperty{{"chain", v.Chain}}}
	}
	suite.add(junitCase{Class: "parallax." + v.Service, Name: "verdict"}, v.Decision, v.Reasons)
	for _, e := range r.Endpoints {
		decision := e.Verdict
		if e.NotCovered != "" {
			decision = Hold // whatever its figures say, the service's verdict does not rest on it
		}
		suite.add(junitCase{Class: "parallax." + v.Service + ".endpoints", Name: e.Endpoint}, decision, e.Reasons)
	}
	for _, q := range r.Pools {
		suite.add(junitCase{Class: "parallax." + v.Service + ".pools", Name: q.Pool}, q.Decision, q.Reasons)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

type junitSuite struct {
	XMLName   xml.Name `xml:"testsuite"`
	Name      string   `xml:"name,attr"`
	Tests     int      `xml:"tests,attr"`
	Failures  int      `xml:"failures,attr"`
	Skipped   int      `xml:"skipped,attr"`
	Timestamp string   `xml:"timestamp,attr"`

	Properties *junitProperties `xml:"properties"`
	Cases      []junitCase      `xml:"testcase"`
}

type junitProperties struct {
	List []junitProperty `xml:"property"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Failure *junitResult `xml:"failure"`
	Skipped *junitResult `xml:"skipped"`
}

type junitResult struct {
	Type    string `xml:"type,attr,omitempty"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func (s *junitSuite) add(c junitCase, decision Decision, reasons []Reason) {
	s.Tests++
	var sentences []string
	for _, r := range reasons {
		sentences = append(sentences, r.Sentence())
	}
	result := &junitResult{Message: string(decision), Text: strings.Join(sentences, "\n")}
	if len(sentences) > 0 {
		result.Message += ": " + sentences[0]
	}
	switch decision {
	case Rollback:
		result.Type = string(decision)
		c.Failure = result
		s.Failures++
	case Hold:
		c.Skipped = result
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}
