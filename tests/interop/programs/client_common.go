// What the clients in Go have in common: they talk to the server at the address given, print what they saw.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type client interface {
	send(text bool, data string)
	receive() (text bool, data string)
	sendPieces(pieces ...string)
	ping()
	// Close, and give what the server answered.
	close(code int, reason string) []any
	// Give how the server closed.
	closed() []any
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func expect(text bool, data string, aClient client) {
	if isText, received := aClient.receive(); isText != text || received != data {
		panic(fmt.Sprintf("expected %.60q, received %.60q", data, received))
	}
}

func main() {
	var every []byte
	for i := 0; i < 256; i++ {
		every = append(every, byte(i))
	}
	messages := []struct {
		text bool
		data string
	}{
		{true, "grüße"},
		{false, string(every)},
		{true, ""},
		{false, ""},
		{true, strings.Repeat("to be or not to be, ", 10000)},
		{false, string(bytes.Repeat(every, 4096))},
	}
	url, compressed := os.Args[1], os.Args[2] == "compressed"
	saw := map[string]any{}

	first, extensions := connect(url, compressed)
	saw["extensions"] = extensions
	for _, message := range messages {
		first.send(message.text, message.data)
		expect(message.text, message.data, first)
	}
	first.sendPieces("one ", "", "two")
	expect(true, "one two", first)
	first.send(true, "pieces please")
	expect(true, "one two "+strings.Repeat("three ", 1000), first)
	first.ping()
	first.send(true, "ping please")
	expect(true, "pong came", first)
	saw["answer"] = first.close(3456, "bye ✓")

	second, _ := connect(url, compressed)
	second.send(true, "close please")
	saw["closed"] = second.closed()
	must(json.NewEncoder(os.Stdout).Encode(saw))
}
