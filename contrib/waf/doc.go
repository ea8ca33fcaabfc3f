// Package waf is a web application firewall for tapway: one more rule of the gate, made of Coraza
// and the OWASP Core Rule Set. It is a module of its own, so that neither tapway nor the Lambda
// bootstrap links it; the command tapway-waf is tapway's serve with this rule.
//
// What a newcomer gets wrong: the rules always run as if they blocked. Detect mode only ignores
// their verdict, so that what it reports is exactly what block mode would refuse. And what a rule
// has matched may be a secret: logs and records have numbers of rules, texts of the rules
// themselves and names of variables, never a value. Coraza's own logs are therefore off.
package waf
