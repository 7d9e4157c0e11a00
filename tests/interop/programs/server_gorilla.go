// An echo in Go with gorilla/websocket; prints its port, then how each connection ended.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// A small buffer: what is larger leaves in fragments.
var upgrader = websocket.Upgrader{
	EnableCompression: true,
	Subprotocols:      []string{"chat"},
	WriteBufferSize:   4096,
}

func echo(response http.ResponseWriter, request *http.Request) {
	connection, err := upgrader.Upgrade(response, request, nil)
	if err != nil {
		return
	}
	defer connection.Close()
	connection.SetReadLimit(1 << 25)
	connection.SetPongHandler(func(data string) error {
		return connection.WriteMessage(websocket.TextMessage, []byte("pong "+data))
	})
	for {
		kind, data, err := connection.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			fmt.Println("closed", closed.Code, closed.Text)
		}
		if err != nil {
			return
		}
		text := string(data)
		switch {
		case text == "ping":
			deadline := time.Now().Add(5 * time.Second)
			connection.WriteControl(websocket.PingMessage, []byte("are you there"), deadline)
		case text == "fragments":
			writer, _ := connection.NextWriter(websocket.TextMessage)
			writer.Write(bytes.Repeat([]byte("one two three "), 1000))
			writer.Close()
		case strings.HasPrefix(text, "close "):
			words := strings.SplitN(text, " ", 3)
			code, _ := strconv.Atoi(words[1])
			frame := websocket.FormatCloseMessage(code, words[2])
			connection.WriteControl(websocket.CloseMessage, frame, time.Now().Add(5*time.Second))
		default:
			connection.WriteMessage(kind, data)
		}
	}
}

func main() {
	http.HandleFunc("/", echo)
	http.HandleFunc("/refused", func(response http.ResponseWriter, _ *http.Request) {
		http.Error(response, "not you", http.StatusForbidden)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	http.Serve(listener, nil)
}
