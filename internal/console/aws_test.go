package console_test

import (
	"log/slog"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/awsconsole"
	"github.com/tapway/tapway/internal/awsconsole/awsconsoletest"
	"github.com/tapway/tapway/internal/console"
	"github.com/tapway/tapway/internal/tapstate"
)

// TestAWS: every view of a tap on AWS shows what there is, and says why the rest is missing.
func TestAWS(t *testing.T) {
	b, w := newBrowser(t), awsconsoletest.Start(t)
	now := time.Now()
	spilled := awsconsoletest.Exchange(now, "GET", "/spilled", 200, `{"in":"the bucket"}`)
	w.Put("spill/siem/2026/01/02/"+spilled.ID.String()+".json", spilled)
	w.Wait("siem", awsconsoletest.Exchange(now, "GET", "/waiting", 200, "{}"))
	w.Dead("siem", "422 Unprocessable Entity", awsconsoletest.Exchange(now, "POST", "/orders", 201, `{"in":"the dead letter"}`))
	w.Dead("siem", "gave up after 8 attempts: connection refused", awsconsoletest.Exchange(now, "GET", "/a/rather/long/path/of/a/call/that/nobody/would/call/short", 503, "{}"))
	w.Changed(now.Add(-time.Hour), "shop-siem-dead-critical", "OK", "ALARM", "1 datapoint [2.0] was greater than the threshold (0.0)")
	w.Metric("AWS/Lambda", "Invocations", 13, "FunctionName=shop-proxy")
	w.Metric("AWS/Lambda", "Invocations", 9, "FunctionName=shop-forwarder")
	w.Metric("AWS/Lambda", "Errors", 2, "FunctionName=shop-forwarder")
	w.Metric("AWS/SQS", "ApproximateAgeOfOldestMessage", 95, "QueueName=shop-siem")
	w.Alarm("shop-siem-dead-critical", "ApproximateNumberOfMessagesVisible", "QueueName", "shop-siem-dead", 0)
	w.Turn("shop-siem-dead-critical", "ALARM", 2)
	w.Alarm("shop-lake-oldest-warning", "ApproximateAgeOfOldestMessage", "QueueName", "shop-lake", 600)
	w.Turn("shop-lake-oldest-warning", "OK", 12.5)
	w.Hour(now)
	w.Metric("tapway", "dead", 2, "function=shop-forwarder,role=forwarder,destination=siem")
	clients, err := attach.NewClients(w.Account.Config, w.Account.Endpoint, attach.NewPacer(100), 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := awsconsole.New(t.Context(), awsconsole.Options{
		Reader: &tapstate.Reader{SQS: w.SQS, CloudWatch: w.Metrics, Lambda: clients.Lambda}, Queues: w.Messages, Tap: tapstate.Tap{Project: "shop"}, Region: awsconsoletest.Region, Bucket: w.Blobs,
		Attached: &attach.State{Plan: &attach.Plan{Changes: []attach.Change{{Route: "GET /users", From: "HTTP_PROXY https://users.example.com"}}}},
		Version:  "v1.2.3", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	server := c.Server()
	server.Console = console.Handler()
	web := httptest.NewServer(server.Handler())
	t.Cleanup(web.Close)

	check := b.axe()
	for _, size := range []struct {
		name          string
		width, height int
	}{{"desk", 1440, 900}, {"phone", 390, 844}} {
		for _, theme := range []string{"light", "dark"} {
			b.look(theme, size.width, size.height)
			view := func(name, hash, what, want string) {
				t.Helper()
				b.open(web.URL + "/#/" + hash)
				b.until(what, want)
				where := "aws-" + name + "-" + size.name + "-" + theme
				b.shoot(where)
				if wide := b.js(`document.documentElement.scrollWidth - innerWidth`).(float64); wide > 0 {
					t.Errorf("%s is %v pixels too wide", where, wide)
				}
				b.contrast(where)
				if (size.name == "desk") == (theme == "light") {
					check(where)
				}
			}
			view("traffic", "traffic", "the record in the bucket, and what else there is", rows+`.length === 1 && document.querySelector(".notice").textContent.includes("`+awsconsoletest.Bucket+`")`)
			b.until("which tap it is", `document.querySelector("header.top").textContent.includes("shop in AWS eu-west-1")`)
			view("call", "exchange/"+spilled.ID.String(), "its body and where it lies", `document.querySelector(".side")?.textContent.includes("the bucket") && document.querySelector(".side .state.spilled")`)
			view("delivery", "delivery", "both queues and what died", `document.querySelectorAll(".dest").length === 3 && document.querySelector(".dest").textContent.includes("shop-siem-dead-critical fires") && document.querySelectorAll(".group").length === 2`)
			view("alarms", "alarms", "the alarm, at its tab too", `document.querySelector(".alarm.firing")?.textContent.includes("Dead letters") && !document.querySelector(".alarm .btn[id^=ack]") && document.querySelector("#main").textContent.includes("cannot be acknowledged") && document.querySelector("nav .badge")?.textContent.startsWith("1")`)
			view("ledger", "ledger", "the sums", `document.querySelectorAll(".account").length === 3 && /= [1-9],?\d+/.test(document.querySelector(".account .equation").textContent)`)
			view("routes", "routes", "what was attached", `document.querySelector("tbody tr")?.textContent.includes("/users") && document.querySelectorAll("thead th").length === 2`)
			view("overview", "overview?range=1h", "the charts", `!document.querySelector("[aria-busy]") && document.querySelector(".tile b").textContent !== "0" && document.querySelectorAll(".plot .line").length === 3 && document.querySelectorAll(".chart").length === 3 && document.querySelectorAll(".behindall .tile").length === 2`)
			view("keys", "keys", "where the keys are", `document.querySelector(".teach")?.textContent.includes("tapway keys")`)
		}
	}

	// One letter is opened, called back from being redriven, and then redriven.
	b.look("light", 1440, 900)
	b.open(web.URL + "/#/delivery")
	b.until("what died, by its reason", `[...document.querySelectorAll(".group .why")].some((e) => e.textContent === "422 Unprocessable Entity")`)
	b.until("the letter", `([...document.querySelectorAll(".group")].find((g) => g.textContent.includes("422")).open = true) && document.querySelectorAll(".letters tbody tr").length === 1`)
	b.js(`document.querySelector(".letters tbody a").click()`)
	b.until("its request and response", `document.querySelector(".side")?.textContent.includes("the dead letter") && document.querySelector(".side .state.dead")`)
	b.shoot("aws-letter-light")
	redrive := func() {
		t.Helper()
		b.open(web.URL + "/#/delivery/dead?filter=" + url.QueryEscape(`path == "/orders"`))
		b.until("the one that the filter takes", `document.querySelectorAll(".group").length === 1 && document.querySelector("#redrive")?.textContent === "Redrive what the filter takes"`)
		b.click("#redrive")
		b.until("it counts first", `document.querySelector("#do-it")?.textContent === "Redrive 1"`)
		b.js(`document.querySelector("dialog input[type=number]").value = "20"`)
	}
	redrive()
	b.js(`import("/js/letters.js").then((m) => { m.undo.seconds = 600; })`)
	b.click("#do-it")
	b.until("it can be called off", `[...document.querySelectorAll("dialog .btn")].some((x) => x.textContent === "Undo") && document.querySelector("dialog").textContent.includes("Starts in")`)
	b.shoot("aws-redrive-light")
	b.js(`[...document.querySelectorAll("dialog .btn")].find((x) => x.textContent === "Undo").click()`)
	b.until("it is called off", `!document.querySelector("dialog") && document.body.textContent.includes("nothing was redriven")`)
	b.open("about:blank")
	redrive()
	b.js(`import("/js/letters.js").then((m) => { m.undo.seconds = 0; })`)
	b.click("#do-it")
	b.until("it is back", `document.querySelector("dialog .good")?.textContent.includes("1 letter back in the queue")`)
	b.shoot("aws-redriven-light")
	b.click("#done")
	b.until("none is left of them", `document.querySelector("section .teach.none")?.textContent.includes("No dead letter matches")`)
	b.quiet()
}
