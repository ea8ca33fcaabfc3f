// Package apitest is API Gateway's control plane in memory, as far as attaching to an API,
// watching it and detaching from it needs it: REST APIs (v1), HTTP APIs (v2), and Lambda's
// function policies. The AWS SDK's clients, the AWS CLI and Terraform speak to it. It keeps
// AWS's rules where they hurt: PutIntegration replaces everything and fills in defaults, the
// type of an integration cannot be patched, a deployment is a copy of the whole API, an
// export shows what is deployed and not what is being edited, lists come in pages, and too
// many calls are answered with 429.
//
// What a newcomer gets wrong: there is no data plane. Nothing is called; [Server.Resolve]
// tells where API Gateway would send a call. And nothing is dropped in silence: a member of
// a request that the fake does not know is refused, so a test never passes because of a hole
// here.
//
// A test can refuse, cut or lose any call, and change the API between two calls as another
// user would ([Server.Before], [Server.Call]). [Server.Dump] shows the complete state,
// [Server.Settled] what of it must be equal after a change was taken back.
package apitest
