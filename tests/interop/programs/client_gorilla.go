// A client in Go with gorilla/websocket.
package main

import (
	"time"

	"github.com/gorilla/websocket"
)

type gorilla struct {
	*websocket.Conn
	pongs []string
}

// The buffer is small: what is larger leaves in fragments.
func connect(url string, compressed bool) (client, string) {
	dialer := websocket.Dialer{EnableCompression: compressed, WriteBufferSize: 4096}
	connection, response, err := dialer.Dial(url, nil)
	must(err)
	result := &gorilla{Conn: connection}
	connection.SetPongHandler(func(data string) error {
		result.pongs = append(result.pongs, data)
		return nil
	})
	return result, response.Header.Get("Sec-WebSocket-Extensions")
}

func (g *gorilla) send(text bool, data string) {
	kind := websocket.BinaryMessage
	if text {
		kind = websocket.TextMessage
	}
	must(g.WriteMessage(kind, []byte(data)))
}

func (g *gorilla) receive() (bool, string) {
	kind, data, err := g.ReadMessage()
	must(err)
	return kind == websocket.TextMessage, string(data)
}

func (g *gorilla) sendPieces(pieces ...string) {
	writer, err := g.NextWriter(websocket.TextMessage)
	must(err)
	for _, piece := range pieces {
		_, err = writer.Write([]byte(piece))
		must(err)
	}
	must(writer.Close())
}

func (g *gorilla) ping() {
	must(g.WriteControl(websocket.PingMessage, []byte("hello"), time.Now().Add(10*time.Second)))
	g.send(true, "after the ping")
	expect(true, "after the ping", g)
	if len(g.pongs) != 1 || g.pongs[0] != "hello" {
		panic("no pong")
	}
}

func (g *gorilla) close(code int, reason string) []any {
	frame := websocket.FormatCloseMessage(code, reason)
	must(g.WriteControl(websocket.CloseMessage, frame, time.Now().Add(10*time.Second)))
	return g.closed()
}

func (g *gorilla) closed() []any {
	_, _, err := g.ReadMessage()
	result := err.(*websocket.CloseError)
	g.Close()
	return []any{result.Code, result.Text}
}
