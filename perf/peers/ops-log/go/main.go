// What a Go service does for a line: zerolog or zap, JSON to memory, with the context bound.
//
//	lines zerolog|zap fields|bound
//
// For each line on standard input it logs a block of events and prints the nanoseconds that one took, on the processor's time of
// the process, garbage collection included.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const block = 20000

// memory takes everything and keeps the newest megabyte at most, as that of the crate's benchmark does.
type memory struct{ bytes.Buffer }

func (m *memory) Write(line []byte) (int, error) {
	if m.Len() > 1<<20 {
		m.Reset()
	}
	return m.Buffer.Write(line)
}

func (m *memory) Sync() error { return nil }

func byZerolog(bound bool) func() {
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000000Z07:00"
	zerolog.TimestampFunc = func() time.Time { return time.Now().UTC() }
	context := zerolog.New(&memory{}).With().Timestamp().Str("logger", "api").
		Str("request_id", "req-abc123").Str("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")
	if bound {
		log := context.Str("method", "GET").Str("path", "/api/registry/models").Uint16("status", 200).
			Uint64("latency_ms", 45).Uint64("user_id", 456).Bool("cached", false).Uint64("bytes", 18324).
			Float64("ratio", 0.75).Str("region", "eu-central-1").Str("agent", "k6/1.1.0").Logger()
		return func() { log.Info().Msg("request_completed") }
	}
	log := context.Logger()
	return func() {
		log.Info().Str("method", "GET").Str("path", "/api/registry/models").Uint16("status", 200).
			Uint64("latency_ms", 45).Uint64("user_id", 456).Bool("cached", false).Uint64("bytes", 18324).
			Float64("ratio", 0.75).Str("region", "eu-central-1").Str("agent", "k6/1.1.0").
			Msg("request_completed")
	}
}

func byZap(bound bool) func() {
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = func(at time.Time, out zapcore.PrimitiveArrayEncoder) {
		zapcore.RFC3339NanoTimeEncoder(at.UTC(), out)
	}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(encoding), &memory{}, zapcore.InfoLevel)
	log := zap.New(core).Named("api").With(
		zap.String("request_id", "req-abc123"), zap.String("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"))
	if bound {
		log := log.With(zap.String("method", "GET"), zap.String("path", "/api/registry/models"),
			zap.Uint16("status", 200), zap.Uint64("latency_ms", 45), zap.Uint64("user_id", 456),
			zap.Bool("cached", false), zap.Uint64("bytes", 18324), zap.Float64("ratio", 0.75),
			zap.String("region", "eu-central-1"), zap.String("agent", "k6/1.1.0"))
		return func() { log.Info("request_completed") }
	}
	return func() {
		log.Info("request_completed", zap.String("method", "GET"), zap.String("path", "/api/registry/models"),
			zap.Uint16("status", 200), zap.Uint64("latency_ms", 45), zap.Uint64("user_id", 456),
			zap.Bool("cached", false), zap.Uint64("bytes", 18324), zap.Float64("ratio", 0.75),
			zap.String("region", "eu-central-1"), zap.String("agent", "k6/1.1.0"))
	}
}

func processorTime() int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: lines zerolog|zap fields|bound")
		os.Exit(2)
	}
	// one core, as our side has one thread
	runtime.GOMAXPROCS(1)
	bound := os.Args[2] == "bound"
	line := byZerolog(bound)
	if os.Args[1] == "zap" {
		line = byZap(bound)
	}
	measure := func() float64 {
		started := processorTime()
		for i := 0; i < block; i++ {
			line()
		}
		return float64(processorTime()-started) / block
	}
	measure()
	asked := bufio.NewScanner(os.Stdin)
	for asked.Scan() {
		fmt.Println(measure())
	}
}
