package alarm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/alarm/smtptest"
)

var fire = &Message{
	ID: "i1.firing.0", Incident: "i1", Kind: Fires, At: began, Host: "gateway-1", Version: "1",
	Alarm: Status{
		Name: DeadLetters, Destination: "siem", Severity: Critical, State: Firing, Since: began.Add(-time.Minute), Value: 3, Unit: Records,
		Message: "3 records of siem are dead letters, more than 0", Detail: Detail{LastError: "503 Service Unavailable", Records: []string{"id-1", "id-2", "id-3"}},
		Command: "tapway dlq list --destination siem",
	},
	Link: "https://tapway.example.com/#/alarms",
}

// mailer is a sender of mails to a test's server.
func mailer(s *smtptest.Server) *Email {
	return &Email{
		Host: "127.0.0.1", Port: s.Port(), TLS: "starttls", Config: &tls.Config{RootCAs: s.Pool()}, From: "tapway@example.com", To: []string{"ops@example.com"},
		Dial: new(net.Dialer).DialContext,
	}
}

func TestEmail(t *testing.T) {
	for _, c := range []struct {
		name   string
		server func(*smtptest.Server)
		client func(*Email)
		tls    bool
		user   string
	}{
		{"STARTTLS", nil, nil, true, ""},
		{"implicit TLS", func(s *smtptest.Server) { s.Implicit = true }, func(e *Email) { e.TLS = "implicit" }, true, ""},
		{"in the clear", nil, func(e *Email) { e.TLS = "none" }, false, ""},
		{"AUTH PLAIN", func(s *smtptest.Server) { s.Mechanisms = "LOGIN PLAIN" }, login, true, "tapway"},
		{"AUTH LOGIN", func(s *smtptest.Server) { s.Mechanisms = "XOAUTH2 LOGIN" }, login, true, "tapway"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := smtptest.New(t, func(s *smtptest.Server) {
				s.User, s.Password = "tapway", "open sesame"
				if c.server != nil {
					c.server(s)
				}
			})
			e := mailer(s)
			if c.client != nil {
				c.client(e)
			}
			answer, err := e.Send(t.Context(), fire)
			if err != nil || answer != "250 2.0.0 queued as 42" {
				t.Fatalf("%q, %v", answer, err)
			}
			got := s.Mails()
			if len(got) != 1 || got[0].TLS != c.tls || got[0].User != c.user || got[0].From != "tapway@example.com" || fmt.Sprint(got[0].To) != "[ops@example.com]" {
				t.Errorf("%+v", got)
			}
			if faults := s.Faults(); len(faults) > 0 {
				t.Error(faults)
			}
		})
	}
}

func login(e *Email) { e.Username, e.Password = "tapway", "open sesame" }

// read takes a mail apart as a mail program would.
func read(t *testing.T, data string) (*mail.Message, string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, data)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m, string(body)
}

func TestMailText(t *testing.T) {
	s := smtptest.New(t, nil)
	e := mailer(s)
	e.To = []string{"ops@example.com", "night@example.com"}
	evil := *fire
	evil.Kind, evil.ID = Resolved, "i1.resolved.1"
	evil.Host = "gate\r\nBcc: thief@example.com"
	evil.Alarm.Destination = "siem\r\nBcc: thief@example.com\r\n\r\n.\r\nMAIL FROM:<x>"
	evil.Alarm.Message = "früh\x00\x1b[31m\u2028über " + strings.Repeat("ä", 300)
	evil.Alarm.LastError = ".\r\n.\r\nQUIT\xff"
	for _, m := range []*Message{fire, &evil} {
		if _, err := e.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	mails := s.Mails()
	if len(mails) != 2 || len(s.Faults()) != 0 {
		t.Fatalf("%d mails, %v", len(mails), s.Faults())
	}
	m, body := read(t, mails[0].Data)
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if want := "[tapway] CRITICAL dead_letters of siem: 3 records of siem are dead letters, more than 0"; err != nil || subject != want {
		t.Errorf("subject %q", subject)
	}
	for _, part := range []string{"3 records of siem are dead letters", "since:", "2026-11-21 06:59:00 UTC (1m)", "503 Service Unavailable", "id-1, id-2, id-3", "tapway dlq list --destination siem", "https://tapway.example.com/#/alarms", "tapway alarm ack dead_letters --destination siem"} {
		if !strings.Contains(body, part) {
			t.Errorf("%q is not in:\n%s", part, body)
		}
	}
	for _, line := range strings.Split(mails[1].Data, "\r\n") {
		if len(line) > 998 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	m2, body := read(t, mails[1].Data)
	if m2.Header.Get("Bcc") != "" || len(mails[1].To) != 2 || m2.Header.Get("To") != "ops@example.com, night@example.com" {
		t.Errorf("header %v", m2.Header)
	}
	subject, err = new(mime.WordDecoder).DecodeHeader(m2.Header.Get("Subject"))
	if err != nil || !strings.Contains(subject, "RESOLVED") || !strings.Contains(subject, "früh") || strings.ContainsAny(subject, "\r\n\x00\x1b") {
		t.Errorf("subject %q, %v", subject, err)
	}
	if strings.ContainsAny(body, "\x00\x1b") || strings.Contains(body, "\nBcc") || strings.Contains(body, "\nQUIT") {
		t.Errorf("body:\n%q", body)
	}
	if got, want := m2.Header.Get("References"), m.Header.Get("Message-ID"); got == "" || strings.Split(got, "@")[0] != strings.Split(want, "@")[0] {
		t.Errorf("the end refers to %q, the beginning is %q", got, want)
	}
}

// TestMailFailures: what can go wrong, whether the mail may have arrived, and what is said of it.
func TestMailFailures(t *testing.T) {
	secret := "0p3n s3same"
	for _, c := range []struct {
		name    string
		server  func(*smtptest.Server)
		client  func(*Email)
		says    string
		refused bool
	}{
		{"nobody listens", nil, func(e *Email) { e.Port = 1 }, "connect to the mail server 127.0.0.1:1: ", true},
		{"no STARTTLS", func(s *smtptest.Server) { s.NoStartTLS = true }, nil, "does not offer STARTTLS; set alarms.smtp.tls: implicit", true},
		{"STARTTLS refused", func(s *smtptest.Server) { s.Answers = map[string]string{"STARTTLS": "454 not now"} }, nil, "speak TLS with the mail server", true},
		{"another certificate", nil, func(e *Email) { e.Config = nil }, "certificate", true},
		{"another name", nil, func(e *Email) { e.Config.ServerName = "smtp.example.org" }, "certificate", true},
		{"TLS where there is none", nil, func(e *Email) { e.TLS = "implicit" }, "speak TLS with", true},
		{"none where there is TLS", func(s *smtptest.Server) { s.Implicit = true; s.Hang = "BANNER" }, func(e *Email) { e.TLS = "none" }, "greet the mail server", true},
		{"wrong password", func(s *smtptest.Server) { s.Mechanisms, s.User, s.Password = "PLAIN", "tapway", "another" }, nil, "535", true},
		{"password echoed", func(s *smtptest.Server) {
			s.Mechanisms, s.Answers = "PLAIN", map[string]string{"AUTH": "535 " + secret + " is no password"}
		}, nil, "[REDACTED] is no password", true},
		{"no AUTH", nil, nil, "takes no password", true},
		{"no AUTH that we can", func(s *smtptest.Server) { s.Mechanisms = "GSSAPI" }, nil, "it wants a password as GSSAPI", true},
		{"password in the clear", func(s *smtptest.Server) { s.Mechanisms = "PLAIN LOGIN" }, func(e *Email) { e.TLS = "none" }, "a password is sent over TLS only", true},
		{"sender with a line end", nil, func(e *Email) { e.Username, e.From = "", "a@example.com>\r\nRCPT TO:<b@example.com" }, "must not contain CR or LF", true},
		{"receiver with a line end", nil, func(e *Email) { e.Username, e.To = "", []string{"a@example.com>\r\nDATA"} }, "must not contain CR or LF", true},
		{"sender refused", func(s *smtptest.Server) { s.Answers = map[string]string{"MAIL": "550 go away"} }, noLogin, "550 go away", true},
		{"receiver refused", func(s *smtptest.Server) { s.Answers = map[string]string{"RCPT ops@example.com": "550 unknown"} }, noLogin, "550 unknown", true},
		{"data refused", func(s *smtptest.Server) { s.Answers = map[string]string{"DATA": "451 later"} }, noLogin, "451 later", true},
		{"mail refused", func(s *smtptest.Server) { s.Answers = map[string]string{"END": "552 too large"} }, noLogin, "552 too large", true},
		{"malformed banner", func(s *smtptest.Server) { s.Answers = map[string]string{"BANNER": "hello"} }, noLogin, "greet", true},
		{"malformed end", func(s *smtptest.Server) { s.Answers = map[string]string{"END": "ok"} }, noLogin, "hear whether a mail was taken by", false},
		{"endless banner", func(s *smtptest.Server) {
			s.Answers = map[string]string{"BANNER": strings.Repeat("220-more\r\n", answerMost/8)}
		}, noLogin, "too much", true},
		{"slow greeting", func(s *smtptest.Server) { s.Hang = "EHLO" }, noLogin, "it takes too long", true},
		{"slow end", func(s *smtptest.Server) { s.Hang = "END" }, noLogin, "it takes too long", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := smtptest.New(t, c.server)
			e := mailer(s)
			e.Username, e.Password = "tapway", tapway.Secret(secret)
			if c.client != nil {
				c.client(e)
			}
			patience := 10 * time.Second
			if s.Hang != "" {
				patience = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := e.Send(ctx, fire)
			var se *SendError
			if !errors.As(err, &se) || !strings.Contains(err.Error(), c.says) || se.Refused != c.refused {
				t.Fatalf("%v, want %q, refused %v", err, c.says, c.refused)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the password is in: %v", err)
			}
			if len(s.Mails()) > 0 && c.refused {
				t.Error("a mail was taken")
			}
			for _, f := range s.Faults() {
				if strings.Contains(f, "AUTH") {
					t.Error(f)
				}
			}
		})
	}
}

func noLogin(e *Email) { e.Username = "" }

// TestMailToSome: an address that is not taken does not keep the others from their mail.
func TestMailToSome(t *testing.T) {
	s := smtptest.New(t, func(s *smtptest.Server) { s.Answers = map[string]string{"RCPT gone@example.com": "550 unknown"} })
	e := mailer(s)
	e.To = []string{"gone@example.com", "ops@example.com"}
	answer, err := e.Send(t.Context(), fire)
	if err != nil || answer != "250 2.0.0 queued as 42; not to gone@example.com: 550 unknown" {
		t.Errorf("%q, %v", answer, err)
	}
	if got := s.Mails(); len(got) != 1 || fmt.Sprint(got[0].To) != "[ops@example.com]" {
		t.Errorf("%+v", got)
	}
}
