package alarm

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// Email sends messages as plain text through one SMTP server. Where TLS is wanted it is never
// done without, and a password goes over TLS only.
type Email struct {
	Host     string
	Port     int
	TLS      string // "starttls", "implicit" or "none"
	Config   *tls.Config
	Username string // "": without authentication
	Password tapway.Secret
	From     string   // an address
	To       []string // addresses
	Hello    string   // this machine's name; "": localhost

	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// answerMost is how many bytes a server may say in one session.
const answerMost = 256 << 10

// Send is a Target's Send. Addresses that the server does not take are an error only if it takes
// none; the answer names them otherwise.
func (e *Email) Send(ctx context.Context, m *Message) (answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, sendMost)
	defer cancel()
	step := "connect to"
	defer func() {
		if err != nil {
			err = e.failure(ctx, step, err)
		}
	}()
	conn, err := e.Dial(ctx, "tcp", net.JoinHostPort(e.Host, strconv.Itoa(e.Port)))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	client, err := e.open(ctx, &boundedConn{conn, answerMost}, &step)
	if err != nil {
		return "", err
	}
	step = "be allowed to send a mail through"
	if err = e.login(client); err != nil {
		return "", err
	}
	step = "give a mail to"
	if err = client.Mail(e.From); err != nil {
		return "", err
	}
	var left []string
	for _, to := range e.To {
		if refusal := client.Rcpt(to); refusal != nil {
			left = append(left, fmt.Sprintf("not to %s: %s", to, e.scrub(textOf(refusal))))
			err = refusal
			if !isReply(refusal) {
				return "", refusal
			}
		}
	}
	if len(left) == len(e.To) {
		return "", err
	}
	answer, err = e.data(client, e.text(m), &step)
	if err != nil {
		return "", err
	}
	client.Quit() // the server has the mail; how it says goodbye is its own business
	return clip(e.scrub(strings.Join(append([]string{answer}, left...), "; ")), 300), nil
}

// open greets the server and makes the connection as safe as wanted.
func (e *Email) open(ctx context.Context, conn net.Conn, step *string) (*smtp.Client, error) {
	config := e.Config.Clone()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config.ServerName, config.MinVersion = cmp.Or(config.ServerName, e.Host), tls.VersionTLS12
	if e.TLS == "implicit" {
		*step = "speak TLS with"
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	*step = "greet"
	client, err := smtp.NewClient(conn, e.Host)
	if err != nil {
		return nil, err
	}
	if err = client.Hello(cmp.Or(e.Hello, "localhost")); err != nil {
		return nil, err
	}
	if e.TLS == "starttls" {
		*step = "speak TLS with"
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return nil, errors.New("it does not offer STARTTLS; set alarms.smtp.tls: implicit if its port speaks TLS from the start")
		}
		if err = client.StartTLS(config); err != nil {
			return nil, err
		}
	}
	return client, nil
}

// login authenticates if there is a username.
func (e *Email) login(client *smtp.Client) error {
	if e.Username == "" {
		return nil
	}
	if _, secure := client.TLSConnectionState(); !secure {
		return errors.New("a password is sent over TLS only; set alarms.smtp.tls: starttls or implicit")
	}
	ok, offer := client.Extension("AUTH")
	ways := strings.Fields(strings.ToUpper(offer))
	switch {
	case ok && slices.Contains(ways, "PLAIN"):
		return client.Auth(smtp.PlainAuth("", e.Username, e.Password.Reveal(), e.Host))
	case ok && slices.Contains(ways, "LOGIN"):
		return client.Auth(&loginAuth{username: e.Username, password: e.Password})
	case ok:
		return fmt.Errorf("it wants a password as %s, tapway can PLAIN and LOGIN", clip(clean(offer), 100))
	}
	return errors.New("it takes no password; leave alarms.smtp.username out")
}

// loginAuth is AUTH LOGIN, which has no standard but is all that some servers offer.
type loginAuth struct {
	username string
	password tapway.Secret
	asked    int
}

func (a *loginAuth) Start(s *smtp.ServerInfo) (string, []byte, error) {
	if !s.TLS {
		return "", nil, errors.New("a password is sent over TLS only")
	}
	return "LOGIN", nil, nil
}

func (a *loginAuth) Next(_ []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	switch a.asked++; a.asked {
	case 1:
		return []byte(a.username), nil
	case 2:
		return []byte(a.password.Reveal()), nil
	}
	return nil, errors.New("the server asks for more than a name and a password")
}

// unsureStep is the step from which on a mail may have arrived whatever happens.
const unsureStep = "hear whether a mail was taken by"

// data sends the mail itself. net/smtp does the same but keeps the server's answer to itself.
func (e *Email) data(client *smtp.Client, text []byte, step *string) (string, error) {
	id, err := client.Text.Cmd("DATA")
	if err != nil {
		return "", err
	}
	client.Text.StartResponse(id)
	_, _, err = client.Text.ReadResponse(354)
	client.Text.EndResponse(id)
	if err != nil {
		return "", err
	}
	w := client.Text.DotWriter()
	if _, err = w.Write(text); err != nil {
		return "", err
	}
	*step = unsureStep
	if err = w.Close(); err != nil {
		return "", err
	}
	code, said, err := client.Text.ReadResponse(250)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %s", code, clean(said)), nil
}

// failure says what could not be done, without secrets, and whether the mail may have arrived.
func (e *Email) failure(ctx context.Context, step string, err error) error {
	if ctx.Err() != nil {
		err = errors.New("it takes too long")
	}
	return &SendError{
		Err:     fmt.Errorf("%s the mail server %s:%d: %s", step, e.Host, e.Port, clip(clean(e.scrub(textOf(err))), 300)),
		Refused: step != unsureStep || isReply(err),
	}
}

func isReply(err error) bool {
	var reply *textproto.Error
	return errors.As(err, &reply)
}

// textOf is an error without the quotation marks that net/textproto puts around a reply.
func textOf(err error) string {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return fmt.Sprintf("%d %s", reply.Code, reply.Msg)
	}
	return err.Error()
}

// scrub takes the password out of what a server says, in the forms in which it was sent.
func (e *Email) scrub(s string) string {
	p := e.Password.Reveal()
	if p == "" {
		return s
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + e.Username + "\x00" + p))
	return strings.NewReplacer(plain, tapway.Secret("x").String(), base64.StdEncoding.EncodeToString([]byte(p)), tapway.Secret("x").String(), p, tapway.Secret("x").String()).Replace(s)
}

// text is the mail (RFC 5322): a UTF-8 subject, plain text as quoted-printable.
func (e *Email) text(m *Message) []byte {
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, clean(value)) }
	where := cmp.Or(hostPart(m.Host), "tapway")
	header("From", "tapway <"+e.From+">")
	header("To", strings.Join(e.To, ", "))
	header("Subject", mime.QEncoding.Encode("utf-8", clean(m.Subject())))
	header("Date", m.At.Format(time.RFC1123Z))
	header("Message-ID", "<"+m.ID+"@"+where+">")
	if m.Kind != Fires && m.Kind != Test {
		header("References", fmt.Sprintf("<%s.%s.0@%s>", m.Incident, Fires, where)) // so that mail programs show them together
	}
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	header("Auto-Submitted", "auto-generated") // RFC 3834: no holiday replies
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	io.WriteString(q, strings.ReplaceAll(m.Plain(), "\n", "\r\n"))
	q.Close()
	return b.Bytes()
}

// hostPart leaves of a machine's name what may stand behind the @ of a Message-ID.
func hostPart(host string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, host)
}

// boundedConn ends a session in which the server says too much.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("it says too much")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
