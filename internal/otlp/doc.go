// Package otlp sends spans and metrics to an OpenTelemetry collector by OTLP over HTTP, in
// protobuf or JSON (https://opentelemetry.io/docs/specs/otlp/, version 1.9). The official SDK
// would do the same, and with gRPC behind it make the program half as large again.
//
// What a newcomer gets wrong: nothing here may slow a call. [Exporter.Add] never waits: what
// has no room in the queue is dropped and counted. Counting in a [Histogram] takes no lock.
// Sending, encoding and waiting for a slow collector happen in [Exporter.Run] alone.
package otlp
