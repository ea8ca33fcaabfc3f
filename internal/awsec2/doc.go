// Package awsec2 makes EC2's calls on security groups and VPC endpoints without the SDK's client, which
// would double the program: it has seven hundred operations, and the linker keeps them all.
//
// What a newcomer gets wrong:
//
//   - Every call but a reading one may have been done although it gave an error, and is tried again: look for
//     the codes InvalidPermission.Duplicate and InvalidPermission.NotFound.
//   - What is not there is status 400 with a code that ends in .NotFound, never 404.
//   - Dual-stack endpoints are not known by name; name them as the endpoint.
//
// The protocol: https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html. The calls:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Operations.html.
package awsec2
