package serve

import (
	"cmp"
	"os"
)

// Self says which workload answers; it comes from flags and from the pod's downward API.
type Self struct {
	Name      string `json:"name"`
	Pod       string `json:"pod"`
	Namespace string `json:"namespace"`
	Node      string `json:"node"`
}

// Seen is the answer of every echo: who answered, and the request as it arrived behind the sidecar.
type Seen struct {
	Self
	Method        string              `json:"method"`
	Path          string              `json:"path"` // with the query
	Host          string              `json:"host"`
	Protocol      string              `json:"protocol"` // "HTTP/1.1", "HTTP/2.0" or "gRPC"
	ServerName    string              `json:"serverName,omitempty"`
	Headers       map[string][]string `json:"headers"`
	PeerIdentity  string              `json:"peerIdentity"`
	BodyBytes     int64               `json:"bodyBytes"`
	BodySha256    string              `json:"bodySha256"`
	RemoteAddress string              `json:"remoteAddress"`
	Trailers      map[string][]string `json:"trailers"`
}

func newSelf(name string) Self {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	pod := cmp.Or(os.Getenv("POD_NAME"), host)
	return Self{
		Name:      cmp.Or(name, pod),
		Pod:       pod,
		Namespace: os.Getenv("POD_NAMESPACE"),
		Node:      os.Getenv("NODE_NAME"),
	}
}
