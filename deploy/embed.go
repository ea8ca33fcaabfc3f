// Package deploy carries the Terraform modules, so that an installed tapway deploys without a
// checkout.
//
// What a newcomer gets wrong: only what `tapway deploy` uses is embedded. Examples, tests, and
// the templates for SAM and the Serverless Framework are files for people.
package deploy

import "embed"

// Modules are the Terraform modules, as terraform/NAME/*.tf.
//
//go:embed terraform/tapway/*.tf terraform/example-api/*.tf terraform/gate/*.tf
var Modules embed.FS
