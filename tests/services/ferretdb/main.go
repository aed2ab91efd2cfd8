// Serves FerretDB from SQLite files: server FOLDER ADDRESS [CERTIFICATE KEY]
//
// With a certificate only TLS is spoken.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	folder, address := os.Args[1], os.Args[2]
	config := ferretdb.Config{Handler: "sqlite", SQLiteURL: "file:" + folder + "/"}
	if len(os.Args) > 3 {
		config.Listener = ferretdb.ListenerConfig{TLS: address, TLSCertFile: os.Args[3], TLSKeyFile: os.Args[4]}
	} else {
		config.Listener.TCP = address
	}
	database, err := ferretdb.New(&config)
	if err != nil {
		log.Fatal(err)
	}
	ended, forget := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer forget()
	if err := database.Run(ended); err != nil {
		log.Fatal(err)
	}
}
