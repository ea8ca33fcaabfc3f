// Package awss3 makes the four calls to S3 that a store of objects needs, without the SDK's client: that is a
// tenth of the Lambda bootstrap, for calls that it rarely makes.
//
// What a newcomer gets wrong:
//
//   - Objects are read and written whole, with a limit: there are no streams and no uploads in parts.
//   - Every object is written with its CRC32C, which S3 compares before it keeps it, and read back with
//     whatever sum it was stored with. Only a sum over the parts of an upload is not checked.
//   - At AWS the bucket is in the host's name, except if it has dots, which no certificate covers. At any other
//     endpoint it is in the path, as emulators and private stores want it.
//   - Nothing follows a bucket into another region: the error says where the bucket is.
//   - Not here, each refused with an error: directory buckets (S3 Express), and access points by their ARN, whose
//     aliases do.
//
// The protocol: https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html.
package awss3
