package deploy

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	modules "github.com/tapway/tapway/deploy"
	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/config"
)

// Stack is what is made in AWS, as the root module's variables.
type Stack struct {
	Project, Region, Account string
	Architecture             string // arm64 or x86_64
	Memory                   int    // MiB
	Concurrency              int    // reserved for the proxy; 0: none
	AlarmEmail               string
	Settings                 *Settings
	VPC                      *config.AWSVPC
	Tapped                   []string // ARNs of the functions that the proxy may invoke for attached APIs
	Example                  bool
	StateBucket              string
	Package                  string // path of the function package, copied into the directory
	Emulated                 bool   // an emulator of AWS on this machine, which lacks a thing or two
	PathStyle                bool   // S3 has an endpoint of its own
	Lock                     bool   // Terraform can lock a state in S3 by itself (1.10)
}

// Emulated reports whether AWS's own variables lead to an emulator on this machine, and
// whether S3 is reached by an endpoint. Terraform reads the variables itself, so one of DynamoDB's alone
// leads it to the table there, and is no reason to make queues and bucket on AWS without their policies.
func Emulated(getenv func(string) string) (emulated, pathStyle bool) {
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3"} {
		url := getenv(name)
		pathStyle = pathStyle || url != "" && name != "AWS_ENDPOINT_URL_SQS"
		for _, local := range []string{"http://127.0.0.1", "http://localhost", "http://[::1]"} {
			emulated = emulated || strings.HasPrefix(url, local)
		}
	}
	return emulated, pathStyle
}

// Partition is AWS's word for the part of it that a region is in.
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// packageName is the function package within the working directory. It is always the same: a
// package of another name would be a change.
const packageName = "tapway-lambda.zip"

// Write writes the working directory: the modules, a root module and its variables. What is not
// its own it leaves: Terraform's state and plugins, and files that somebody added.
func (s *Stack) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the working directory: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "modules")); err != nil {
		return fmt.Errorf("the working directory: %w", err)
	}
	err := fs.WalkDir(modules.Modules, "terraform", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := modules.Modules.ReadFile(name)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, "modules", filepath.FromSlash(strings.TrimPrefix(name, "terraform/")))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o600)
	})
	if err != nil {
		return fmt.Errorf("write the modules: %w", err)
	}
	variables, err := s.variables()
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		"main.tf": []byte(s.root()), "tapway.auto.tfvars.json": variables, ".gitignore": []byte("*\n"),
	} {
		if err := attach.WriteFile(filepath.Join(dir, name), text); err != nil {
			return fmt.Errorf("the working directory: %w", err)
		}
	}
	text, err := os.ReadFile(s.Package)
	if err == nil {
		err = attach.WriteFile(filepath.Join(dir, packageName), text)
	}
	if err != nil {
		return fmt.Errorf("the function package: %w", err)
	}
	return nil
}

// secretARNs are what the functions must be allowed to read.
func (s *Stack) secretARNs() (arns []string, err error) {
	for _, ref := range s.Settings.References {
		arn, err := secretARN(ref, s)
		if err != nil {
			return nil, err
		}
		arns = append(arns, arn)
	}
	return arns, nil
}

// variables are the values as Terraform reads them from JSON: nothing in them is a template.
func (s *Stack) variables() ([]byte, error) {
	arns, err := s.secretARNs()
	if err != nil {
		return nil, err
	}
	tapway := map[string]any{
		"name": s.Project, "architecture": s.Architecture, "memory": s.Memory,
		"settings": s.Settings.More, "destinations": s.Settings.Destinations, "capture": s.Settings.Config.Lambda.Capture,
		"proxy_timeout": s.Settings.ProxyTimeout(), "forwarder_timeout": s.Settings.ForwarderTimeout(), "secret_arns": append([]string{}, arns...),
		"backend": optional(s.Settings.Backend), "alarm_email": optional(s.AlarmEmail), "proxy_concurrency": -1, "vpc": s.vpc(),
		"redrive_allow_policy": !s.Emulated, "require_tls": !s.Emulated, "log_level": s.Settings.Config.Log.Level,
		"tapped_functions": append([]string{}, s.Tapped...), "shared_counters": s.Settings.Shared,
		"daily_calls": s.Settings.DailyCalls, "daily_cost": s.Settings.DailyCost,
	}
	if s.Concurrency > 0 {
		tapway["proxy_concurrency"] = s.Concurrency
	}
	text, err := json.MarshalIndent(map[string]any{"region": s.Region, "tapway": tapway}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the variables: %w", err)
	}
	return append(text, '\n'), nil
}

func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (s *Stack) vpc() any {
	if s.VPC == nil {
		return nil
	}
	egress := []map[string]any{}
	for _, e := range s.VPC.Egress {
		description := e.Description
		if description == "" {
			description = fmt.Sprintf("%s, port %d", e.To, e.Port)
		}
		rule := map[string]any{"description": description, "port": e.Port}
		switch {
		case strings.HasPrefix(e.To, "pl-"):
			rule["prefix_list"] = e.To
		case strings.HasPrefix(e.To, "sg-"):
			rule["group"] = e.To
		default:
			rule["cidr"] = e.To
		}
		egress = append(egress, rule)
	}
	return map[string]any{"subnet_ids": s.VPC.Subnets, "security_group_ids": append([]string{}, s.VPC.SecurityGroups...), "egress": egress}
}

// root is the root module. It names nothing but variables, so that no value has to be quoted.
func (s *Stack) root() string {
	var b strings.Builder
	b.WriteString("# Written by `tapway deploy`, and anew each time. What is your own goes into other files.\n\n" +
		"terraform {\n  required_version = \">= 1.6\"\n  required_providers {\n    aws = {\n      source  = \"hashicorp/aws\"\n      version = \">= 5.80\"\n    }\n  }\n")
	if s.StateBucket != "" {
		fmt.Fprintf(&b, "  backend \"s3\" {\n    bucket  = %q\n    key     = %q\n    region  = %q\n    encrypt = true\n", s.StateBucket, path.Join("tapway", s.Project, "terraform.tfstate"), s.Region)
		if s.Lock {
			b.WriteString("    use_lockfile = true\n")
		}
		if s.PathStyle {
			b.WriteString("    use_path_style = true\n")
		}
		b.WriteString("  }\n")
	}
	b.WriteString("}\n\nvariable \"region\" {\n  type = string\n}\n\nvariable \"tapway\" {\n  type = any\n}\n\nprovider \"aws\" {\n  region = var.region\n")
	if s.PathStyle {
		b.WriteString("  s3_use_path_style = true\n")
	}
	b.WriteString("}\n\n")
	vpc := "null"
	if s.VPC != nil {
		b.WriteString("data \"aws_subnet\" \"first\" {\n  id = var.tapway.vpc.subnet_ids[0]\n}\n\n")
		vpc = "merge(var.tapway.vpc, { id = data.aws_subnet.first.vpc_id })"
	}
	fmt.Fprintf(&b, "module \"tapway\" {\n  source  = \"./modules/tapway\"\n  package = \"${path.module}/%s\"\n  vpc     = %s\n", packageName, vpc)
	for _, name := range []string{
		"name", "architecture", "memory", "settings", "destinations", "capture", "proxy_timeout", "forwarder_timeout", "secret_arns",
		"backend", "alarm_email", "proxy_concurrency", "redrive_allow_policy", "require_tls", "log_level", "tapped_functions",
		"shared_counters", "daily_calls", "daily_cost",
	} {
		fmt.Fprintf(&b, "  %s = var.tapway.%s\n", name, name)
	}
	b.WriteString("}\n\n")
	if s.Example {
		fmt.Fprintf(&b, "module \"example\" {\n  source = \"./modules/example-api\"\n  name   = \"${var.tapway.name}-example\"\n")
		if s.Emulated {
			b.WriteString("  binary_media_types = [] # the emulator forgets them\n")
		}
		b.WriteString("}\n\noutput \"example\" {\n  value = { api_id = module.example.api_id, stage = module.example.stage, url = module.example.url }\n}\n\n")
	}
	for _, name := range []string{"proxy_function", "forwarder_function", "bucket", "queues", "dead_letter_queues", "topic"} {
		fmt.Fprintf(&b, "output %q {\n  value = module.tapway.%s\n}\n\n", name, name)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// WriteBare writes a working directory that knows the provider and where the state is, and
// nothing more: enough to destroy what the state names.
func (s *Stack) WriteBare(dir string) error {
	outside := *s
	outside.VPC = nil
	bare, _, _ := strings.Cut(outside.root(), "module \"tapway\"")
	bare = strings.Replace(bare, "variable \"tapway\" {\n  type = any\n}\n\n", "", 1)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the working directory: %w", err)
	}
	for name, text := range map[string]string{"main.tf": bare, "tapway.auto.tfvars.json": fmt.Sprintf("{\"region\": %q}\n", s.Region), ".gitignore": "*\n"} {
		if err := attach.WriteFile(filepath.Join(dir, name), []byte(text)); err != nil {
			return fmt.Errorf("the working directory: %w", err)
		}
	}
	return nil
}
