// A client in Go with nhooyr.io/websocket.
package main

import (
	"context"
	"errors"

	"nhooyr.io/websocket"
)

type nhooyr struct {
	*websocket.Conn
	context context.Context
}

func connect(url string, compressed bool) (client, string) {
	background := context.Background()
	options := websocket.DialOptions{CompressionMode: websocket.CompressionDisabled}
	if compressed {
		options.CompressionMode = websocket.CompressionContextTakeover
	}
	connection, response, err := websocket.Dial(background, url, &options)
	must(err)
	connection.SetReadLimit(1 << 22)
	return &nhooyr{connection, background}, response.Header.Get("Sec-WebSocket-Extensions")
}

func (n *nhooyr) send(text bool, data string) {
	kind := websocket.MessageBinary
	if text {
		kind = websocket.MessageText
	}
	must(n.Write(n.context, kind, []byte(data)))
}

func (n *nhooyr) receive() (bool, string) {
	kind, data, err := n.Read(n.context)
	must(err)
	return kind == websocket.MessageText, string(data)
}

func (n *nhooyr) sendPieces(pieces ...string) {
	writer, err := n.Writer(n.context, websocket.MessageText)
	must(err)
	for _, piece := range pieces {
		_, err = writer.Write([]byte(piece))
		must(err)
	}
	must(writer.Close())
}

// A ping waits for its pong while another goroutine reads.
func (n *nhooyr) ping() {
	read := make(chan string)
	go func() {
		_, data := n.receive()
		read <- data
	}()
	must(n.Ping(n.context))
	n.send(true, "after the ping")
	if <-read != "after the ping" {
		panic("not what was sent")
	}
}

func (n *nhooyr) close(code int, reason string) []any {
	// It tells how the server answered only if that was otherwise than expected.
	must(n.Conn.Close(websocket.StatusCode(code), reason))
	return []any{code, ""}
}

func (n *nhooyr) closed() []any {
	_, _, err := n.Read(n.context)
	var result websocket.CloseError
	if !errors.As(err, &result) {
		panic(err)
	}
	return []any{result.Code, result.Reason}
}
