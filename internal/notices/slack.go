package notices

import (
	"encoding/json"
	"fmt"
	"strings"
)

// slackMessage is what Slack's incoming webhooks take: https://api.slack.com/messaging/webhooks
// and https://api.slack.com/reference/block-kit/blocks (a text of a section has 3 000
// characters at most, a message 50 blocks).
type slackMessage struct {
	Text   string       `json:"text"` // for notifications
	Blocks []slackBlock `json:"blocks"`
}

type slackBlock struct {
	Type string    `json:"type"`
	Text slackText `json:"text"`
}

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// slackCut is how much of a text is sent, in characters before they are escaped: escaped they
// are up to five times as many.
const slackCut = 500

// slack is a message in Slack's shape.
func (m Message) slack() ([]byte, error) {
	out := slackMessage{Text: slackEscaped(m.Text), Blocks: []slackBlock{section(slackLink(m.URL, "*"+slackEscaped(m.Service)+"*"))}}
	for _, e := range m.Events {
		out.Blocks = append(out.Blocks, section(slackLink(e.URL, slackEscaped(strings.ReplaceAll(string(e.Kind), "_", " ")))+": "+slackEscaped(e.Text)))
	}
	left := 0
	for _, n := range m.More {
		left += n
	}
	if left > 0 {
		out.Blocks = append(out.Blocks, section(fmt.Sprintf("and %d more", left)))
	}
	return json.Marshal(out)
}

func section(text string) slackBlock { return slackBlock{"section", slackText{"mrkdwn", text}} }

// slackLink is a link where there is somewhere to go to: a path alone is none.
func slackLink(address, text string) string {
	if !strings.HasPrefix(address, "http") {
		return text
	}
	return "<" + strings.NewReplacer("|", "%7C", ">", "%3E").Replace(address) + "|" + text + ">"
}

// slackEscaped is a text that names nobody and links nowhere, whatever is in it.
func slackEscaped(text string) string {
	if r := []rune(text); len(r) > slackCut {
		text = string(r[:slackCut]) + "…"
	}
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}
