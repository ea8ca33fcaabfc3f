// Package smtptest is a mail server on loopback for tests: STARTTLS, TLS from the start, AUTH
// PLAIN and LOGIN, and whatever answers a test wants instead.
//
// What a newcomer gets wrong: it believes nothing. A password that comes in the clear, a line
// that ends in a bare LF, or a command out of order is noted in Faults.
package smtptest

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Mail is one that was taken.
type Mail struct {
	From string
	To   []string
	User string // who logged in
	TLS  bool
	Data string // lines end in "\r\n"; dots are unstuffed
}

// Server is a mail server. Its fields are set in New.
type Server struct {
	Implicit   bool              // TLS from the start
	NoStartTLS bool              // STARTTLS is not offered
	Mechanisms string            // of AUTH; "": none are offered
	User       string            // who may log in
	Password   string            // with what
	Answers    map[string]string // instead of its own, by the command's first word, "BANNER", "RCPT address" or "END" of the data
	Hang       string            // the same words: nothing is answered

	t        testing.TB
	listener net.Listener
	cert     tls.Certificate
	pem      string

	mu     sync.Mutex
	mails  []Mail
	faults []string
	conns  map[net.Conn]bool
	closed bool
}

// New makes a server that listens on 127.0.0.1, and ends it with the test. set, if not nil, sets
// its fields.
func New(t testing.TB, set func(*Server)) *Server {
	t.Helper()
	certs := httptest.NewTLSServer(nil) // it has a certificate for 127.0.0.1
	defer certs.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, listener: l, cert: certs.TLS.Certificates[0], conns: map[net.Conn]bool{}}
	if set != nil {
		set(s)
	}
	s.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certs.Certificate().Raw}))
	var all sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		s.closed = true
		for c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			if s.closed {
				c.Close()
			}
			s.mu.Unlock()
			all.Go(func() { s.serve(c) })
		}
	})
	return s
}

// Port is where it listens.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// PEM is the certificate that signed the server's: its own.
func (s *Server) PEM() string { return s.pem }

// Pool is PEM in the standard library's form.
func (s *Server) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(s.pem))
	return pool
}

// Mails are those it has taken, oldest first.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Faults are what no client should do.
func (s *Server) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.faults...)
}

func (s *Server) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// session is one connection.
type session struct {
	*Server
	conn net.Conn
	r    *bufio.Reader
	tls  bool
	user string
	mail Mail
}

func (s *Server) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	x := &session{Server: s, conn: c, r: bufio.NewReader(c)}
	if s.Implicit {
		x.secure()
	}
	if !x.say("BANNER", "220 localhost ESMTP") {
		return
	}
	for {
		line, ok := x.line()
		if !ok || !x.command(line) {
			return
		}
	}
}

func (x *session) secure() {
	c := tls.Server(x.conn, &tls.Config{Certificates: []tls.Certificate{x.cert}, MinVersion: tls.VersionTLS12})
	x.conn, x.r, x.tls = c, bufio.NewReader(c), true
}

// say answers with what the test wants instead, or with what is given. It reports whether the
// session goes on.
func (x *session) say(word, answer string) bool {
	if x.Hang == word {
		io.Copy(io.Discard, x.conn) // until the client has had enough
		return false
	}
	if instead, ok := x.Answers[word]; ok {
		answer = instead
	}
	_, err := io.WriteString(x.conn, answer+"\r\n")
	return err == nil
}

func (x *session) line() (string, bool) {
	line, err := x.r.ReadString('\n')
	if err != nil {
		return "", false
	}
	if !strings.HasSuffix(line, "\r\n") {
		x.fault("a line ends in a bare LF: %q", line)
	}
	return strings.TrimRight(line, "\r\n"), true
}

func (x *session) command(line string) bool {
	word, rest, _ := strings.Cut(line, " ")
	switch word = strings.ToUpper(word); word {
	case "EHLO":
		return x.say(word, x.offer())
	case "HELO", "NOOP", "RSET":
		return x.say(word, "250 ok")
	case "STARTTLS":
		ok := x.say(word, "220 go on")
		if ok && !strings.HasPrefix(x.Answers[word], "4") && !strings.HasPrefix(x.Answers[word], "5") {
			x.secure()
		}
		return ok
	case "AUTH":
		return x.auth(rest)
	case "MAIL":
		x.mail = Mail{From: address(rest), User: x.user, TLS: x.tls}
		return x.say(word, "250 ok")
	case "RCPT":
		to := address(rest)
		answer, refused := x.Answers["RCPT "+to]
		if refused {
			return x.say("-", answer)
		}
		x.mail.To = append(x.mail.To, to)
		return x.say(word, "250 ok")
	case "DATA":
		return x.data()
	case "QUIT":
		x.say(word, "221 bye")
		return false
	}
	x.fault("unknown command %q", line)
	return x.say("-", "500 what?")
}

func (x *session) offer() string {
	out := "250-localhost\r\n"
	if !x.NoStartTLS && !x.tls {
		out += "250-STARTTLS\r\n"
	}
	if x.Mechanisms != "" {
		out += "250-AUTH " + x.Mechanisms + "\r\n"
	}
	return out + "250 SIZE 1000000"
}

func (x *session) auth(rest string) bool {
	if !x.tls {
		x.fault("AUTH in the clear")
	}
	how, given, _ := strings.Cut(rest, " ")
	var user, password string
	switch how {
	case "PLAIN":
		parts := strings.Split(decode(given), "\x00")
		if len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	case "LOGIN":
		for _, ask := range []struct {
			prompt string
			to     *string
		}{{"Username:", &user}, {"Password:", &password}} {
			x.say("-", "334 "+base64.StdEncoding.EncodeToString([]byte(ask.prompt)))
			line, ok := x.line()
			if !ok {
				return false
			}
			*ask.to = decode(line)
		}
	}
	if user != x.User || password != x.Password || user == "" {
		return x.say("AUTH", "535 5.7.8 no")
	}
	x.user = user
	return x.say("AUTH", "235 welcome")
}

func (x *session) data() bool {
	if len(x.mail.To) == 0 {
		return x.say("-", "503 nobody to give it to")
	}
	if !x.say("DATA", "354 go on") {
		return false
	}
	if answer := x.Answers["DATA"]; answer != "" && !strings.HasPrefix(answer, "354") {
		return true
	}
	var b strings.Builder
	for {
		line, ok := x.line()
		if !ok {
			return false
		}
		if line == "." {
			break
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
	}
	if answer := x.Answers["END"]; answer == "" || strings.HasPrefix(answer, "250") {
		x.mail.Data = b.String()
		x.mu.Lock()
		x.mails = append(x.mails, x.mail)
		x.mu.Unlock()
	}
	return x.say("END", "250 2.0.0 queued as 42")
}

func address(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}

func decode(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	return string(b)
}
