// Package deploy makes tapway's side of an AWS account by Terraform, and takes it away again:
// it remembers answers, writes a working directory from the embedded modules, runs Terraform
// and tells what it does, and looks whether a call's record arrives.
//
// What a newcomer gets wrong: Terraform's state is what knows which resources are ours, not
// the answers. The working directory is written anew each time but for the state in it, and
// nothing is planned from what was made the last time. Attaching to an API is not Terraform's
// but internal/attach's work: an API belongs to somebody else.
package deploy
