package cost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Tier is a price up to a monthly amount.
type Tier struct {
	UpTo  float64 `json:"up_to,omitempty"` // in millions; 0: without end
	Price float64 `json:"price"`           // of a million
}

// Prices are what AWS asks, in US dollars, on demand and without any free tier.
type Prices struct {
	Date    string   `json:"date"`   // of reading: "2026-11-20"
	Source  string   `json:"source"` // where they were read
	Regions []string `json:"regions"`

	REST []Tier `json:"rest_requests"` // REST API
	HTTP []Tier `json:"http_requests"` // HTTP API, for each 512 KB begun

	LambdaRequests float64 `json:"lambda_requests"`  // a million
	LambdaARM      float64 `json:"lambda_arm64_gbs"` // a GB-second
	LambdaX86      float64 `json:"lambda_x86_gbs"`   // a GB-second

	SQS        float64 `json:"sqs_requests"`    // a million, each 64 KB begun
	S3Puts     float64 `json:"s3_puts"`         // a million
	S3Gets     float64 `json:"s3_gets"`         // a million
	S3Storage  float64 `json:"s3_storage"`      // a GB-month
	LogIngest  float64 `json:"log_ingest"`      // a GB
	LogStorage float64 `json:"log_storage"`     // a GB-month, which is of what compression leaves
	Metric     float64 `json:"metric"`          // a custom metric and month
	Alarm      float64 `json:"alarm"`           // an alarm and month
	TransferGB float64 `json:"transfer_out_gb"` // a GB to the internet
}

// Table are the prices that are used without --prices. AWS changes them, and they differ between regions: those
// named have the same ones. They were read on pages that quote AWS (its whitepaper for API
// Gateway's tiers), not from an account's bill.
var Table = Prices{
	Date:    "2026-11-21",
	Source:  "aws.amazon.com/{api-gateway,lambda,sqs,s3,cloudwatch}/pricing, as quoted by others",
	Regions: []string{"us-east-1", "us-east-2", "us-west-2"},

	REST: []Tier{{333, 3.50}, {1000, 2.80}, {20000, 2.38}, {0, 1.51}},
	HTTP: []Tier{{300, 1.00}, {0, 0.90}},

	LambdaRequests: 0.20,
	LambdaARM:      0.0000133334,
	LambdaX86:      0.0000166667,

	SQS:        0.40,
	S3Puts:     5.00,
	S3Gets:     0.40,
	S3Storage:  0.023,
	LogIngest:  0.50,
	LogStorage: 0.03,
	Metric:     0.30,
	Alarm:      0.10,
	TransferGB: 0.09,
}

// ReadPrices reads a table of one's own: what stands in it takes the place of what is in Table.
func ReadPrices(text []byte) (Prices, error) {
	p := Table
	p.Source, p.Date, p.Regions = "", "", nil
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return p, fmt.Errorf("the prices: %w; `tapway cost --print-prices` prints a table to begin with", err)
	}
	for name, tiers := range map[string][]Tier{"rest_requests": p.REST, "http_requests": p.HTTP} {
		before := 0.0
		for i, t := range tiers {
			last := i == len(tiers)-1
			if t.Price < 0 || last != (t.UpTo == 0) || !last && t.UpTo <= before {
				return p, fmt.Errorf("the prices: %s: each tier reaches further than the one before, and the last, alone, has no up_to", name)
			}
			before = t.UpTo
		}
		if len(tiers) == 0 {
			return p, fmt.Errorf("the prices: %s has no tier", name)
		}
	}
	if p.Date == "" {
		return p, fmt.Errorf("the prices: date is missing; a price without one says nothing")
	}
	for name, v := range map[string]float64{
		"lambda_requests": p.LambdaRequests, "lambda_arm64_gbs": p.LambdaARM, "lambda_x86_gbs": p.LambdaX86, "sqs_requests": p.SQS, "s3_puts": p.S3Puts, "s3_gets": p.S3Gets,
		"s3_storage": p.S3Storage, "log_ingest": p.LogIngest, "log_storage": p.LogStorage, "metric": p.Metric, "alarm": p.Alarm, "transfer_out_gb": p.TransferGB,
	} {
		if v < 0 {
			return p, fmt.Errorf("the prices: %s is below 0", name)
		}
	}
	return p, nil
}

// For reports whether the table has the prices of a region.
func (p *Prices) For(region string) bool { return region == "" || slices.Contains(p.Regions, region) }

// tiered is the price of n million.
func tiered(tiers []Tier, n float64) (sum float64) {
	from := 0.0
	for _, t := range tiers {
		to := t.UpTo
		if to == 0 || to > n {
			to = n
		}
		if to > from {
			sum += (to - from) * t.Price
			from = to
		}
	}
	return sum
}
