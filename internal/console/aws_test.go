package console_test

import (
	"log/slog"
	"net/http/httptest"
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
	w.Alarm("shop-siem-dead-critical", "ApproximateNumberOfMessagesVisible", "QueueName", "shop-siem-dead", 0)
	w.Turn("shop-siem-dead-critical", "ALARM", 1)
	w.Metric("tapway", "calls", 13, "function=shop-proxy,role=proxy")
	w.Metric("tapway", "captured", 13, "function=shop-proxy,role=proxy")
	w.Metric("tapway", "delivered", 7, "function=shop-forwarder,role=forwarder,destination=siem")
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

	b.look("light", 1360, 860)
	b.open(web.URL + "/")
	b.until("the record in the bucket", rows+`.length === 1 && document.querySelector(".notice").textContent.includes("`+awsconsoletest.Bucket+`")`)
	b.until("which tap it is", `document.querySelector("header.top").textContent.includes("shop in AWS eu-west-1")`)
	b.js(rows + `[0].click()`)
	b.until("its body", `document.querySelector(".side")?.textContent.includes("the bucket") && document.querySelector(".side .state.spilled")`)
	check := b.axe()
	check("traffic")
	b.shoot("aws-traffic-light")

	b.open(web.URL + "/#/delivery")
	b.until("both queues", `document.querySelectorAll(".dest").length === 3 && document.querySelector(".dest").textContent.includes("shop-siem-dead-critical fires")`)
	b.until("the dead letter by its reason", `document.querySelector(".group .why")?.textContent === "422 Unprocessable Entity"`)
	check("delivery")
	b.shoot("aws-delivery-light")
	b.js(`document.querySelector(".group").open = true`)
	b.until("the letter", `document.querySelectorAll(".letters tbody tr").length === 1`)
	b.js(`document.querySelector(".letters tbody a").click()`)
	b.until("its request and response", `document.querySelector(".side")?.textContent.includes("the dead letter") && document.querySelector(".side .state.dead")`)
	b.shoot("aws-letter-light")

	b.open(web.URL + "/#/alarms")
	b.until("the alarm", `document.querySelector(".alarm.firing")?.textContent.includes("Dead letters") && !document.querySelector(".alarm .btn[id^=ack]") && document.querySelector("#main").textContent.includes("cannot be acknowledged")`)
	b.until("that it fires, at the tab", `document.querySelector("nav .badge")?.textContent.startsWith("1")`)
	check("alarms")
	b.shoot("aws-alarms-light")
	b.open(web.URL + "/#/ledger")
	b.until("the sums", `document.querySelectorAll(".account").length === 3 && document.querySelector(".account").textContent.includes("13")`)
	check("ledger")
	b.shoot("aws-ledger-light")
	b.open(web.URL + "/#/routes")
	b.until("what was attached", `document.querySelector("tbody tr")?.textContent.includes("/users") && document.querySelectorAll("thead th").length === 2`)
	b.shoot("aws-routes-light")
	b.open(web.URL + "/#/overview")
	b.until("where the charts are", `document.querySelector(".teach")?.textContent.includes("CloudWatch")`)
	b.open(web.URL + "/#/keys")
	b.until("where the keys are", `document.querySelector(".teach")?.textContent.includes("tapway keys")`)
	b.quiet()
}
