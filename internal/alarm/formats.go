package alarm

import (
	"cmp"
	"strings"
	"time"
)

// object is a JSON object.
type object = map[string]any

// plainJSON is the form of format json.
func plainJSON(_ *Webhook, m *Message) any {
	out := struct {
		Version  int       `json:"version"`
		ID       string    `json:"id"`       // the same at every attempt
		Incident string    `json:"incident"` // the same from the first message to the end
		Event    Kind      `json:"event"`
		At       time.Time `json:"at"`
		Host     string    `json:"host"`
		Subject  string    `json:"subject"`
		Text     string    `json:"text"`
		Link     string    `json:"link,omitempty"`
		Alarm    *Status   `json:"alarm,omitempty"` // missing from a test
	}{1, m.ID, m.Incident, m.Kind, m.At.UTC(), m.Host, m.Subject(), m.Plain(), m.Link, &m.Alarm}
	if m.Kind == Test {
		out.Alarm = nil
	}
	return out
}

// slackJSON is a message in blocks (docs.slack.dev/reference/block-kit). Its limits: a header has 150
// characters, a text 3,000, a section ten fields.
func slackJSON(_ *Webhook, m *Message) any {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	var lines []string
	for _, f := range m.facts() {
		value := escape(f.value)
		if f.name == "see more with" {
			value = "`" + strings.ReplaceAll(value, "`", "'") + "`"
		}
		lines = append(lines, "*"+f.name+":* "+value)
	}
	blocks := []object{
		{"type": "header", "text": object{"type": "plain_text", "text": clip(strings.TrimPrefix(m.Subject(), "[tapway] "), 150)}},
		{"type": "section", "text": object{"type": "mrkdwn", "text": clip(escape(m.lead())+"\n"+strings.Join(lines, "\n"), 3000)}},
	}
	if m.Link != "" {
		blocks = append(blocks, object{"type": "actions", "elements": []object{{"type": "button", "text": object{"type": "plain_text", "text": "Console"}, "url": m.Link}}})
	}
	return object{"text": escape(m.Subject()), "blocks": blocks}
}

// teamsJSON is an adaptive card as a Teams workflow takes it ("When a Teams webhook request is received").
func teamsJSON(_ *Webhook, m *Message) any {
	colour := "warning"
	switch {
	case m.Kind == Resolved:
		colour = "good"
	case m.Kind == Test:
		colour = "accent"
	case m.Alarm.Severity == Critical:
		colour = "attention"
	}
	var facts []object
	for _, f := range m.facts() {
		facts = append(facts, object{"title": f.name, "value": f.value})
	}
	card := object{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"msteams": object{"width": "Full"},
		"body": []object{
			{"type": "TextBlock", "text": strings.TrimPrefix(m.Subject(), "[tapway] "), "weight": "bolder", "size": "medium", "wrap": true, "color": colour},
			{"type": "TextBlock", "text": m.lead(), "wrap": true},
			{"type": "FactSet", "facts": facts},
		},
	}
	if m.Link != "" {
		card["actions"] = []object{{"type": "Action.OpenUrl", "title": "Console", "url": m.Link}}
	}
	return object{"type": "message", "attachments": []object{{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card}}}
}

// pagerDutyJSON is an event of PagerDuty's Events API v2. The incident is the dedup_key, so that all
// messages of one firing are one incident there.
func pagerDutyJSON(w *Webhook, m *Message) any {
	action := "trigger"
	switch m.Kind {
	case Resolved:
		action = "resolve"
	case Acknowledged:
		action = "acknowledge"
	}
	event := object{"routing_key": w.RoutingKey.Reveal(), "event_action": action, "dedup_key": "tapway-" + m.Incident, "client": "tapway"}
	if m.Link != "" {
		event["client_url"] = m.Link
		event["links"] = []object{{"href": m.Link, "text": "Console"}}
	}
	if action != "trigger" {
		return event
	}
	details := object{}
	for _, f := range m.facts() {
		details[f.name] = f.value
	}
	severity := string(m.Alarm.Severity)
	if m.Kind == Test {
		severity = "info"
	}
	event["payload"] = object{
		"summary": clip(m.Subject(), 1024), "source": cmp.Or(m.Host, "tapway"), "severity": severity, "timestamp": m.At.UTC().Format(time.RFC3339),
		"component": cmp.Or(m.Alarm.Destination, "tapway"), "class": cmp.Or(m.Alarm.Name, string(Test)), "custom_details": details,
	}
	return event
}
