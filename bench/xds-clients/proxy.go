package main

import (
	"context"
	"fmt"
	"math"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	clusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	endpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	listenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	routeType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"

	// workloadsPerNamespace is `perNamespace` of box/api/population.ts.
	workloadsPerNamespace = 50
)

// proxy is one sidecar as istiod sees it.
type proxy struct {
	node     *core.Node
	rejects  bool
	counters *counters
	// subscribed are the endpoints and routes that this proxy asked for, by type and name.
	subscribed map[string]map[string]bool
	received   map[string]bool
}

func newProxy(index int, rejects bool, counters *counters) *proxy {
	namespace := fmt.Sprintf("app-%d", index/workloadsPerNamespace)
	workload := fmt.Sprintf("workload-%d", index)
	pod := workload + "-6d5f7c9b8-0"
	address := fmt.Sprintf("10.100.%d.%d", index>>8, index&255)
	return &proxy{
		node: &core.Node{
			Id:       fmt.Sprintf("sidecar~%s~%s.%s~%s.svc.cluster.local", address, pod, namespace, namespace),
			Metadata: metadata(namespace, workload),
		},
		rejects:    rejects,
		counters:   counters,
		subscribed: map[string]map[string]bool{endpointType: {}, routeType: {}},
		received:   map[string]bool{},
	}
}

// metadata holds what istiod reads of a sidecar's node (istio.io/istio pkg/model, NodeMetadata).
func metadata(namespace, workload string) *structpb.Struct {
	fields, err := structpb.NewStruct(map[string]any{
		"NAMESPACE":         namespace,
		"WORKLOAD_NAME":     workload,
		"CLUSTER_ID":        "Kubernetes",
		"ISTIO_VERSION":     "1.32.0",
		"INTERCEPTION_MODE": "REDIRECT",
		"SERVICE_ACCOUNT":   "default",
		"LABELS":            map[string]any{"app": workload},
	})
	if err != nil {
		panic(err) // The values above are strings.
	}
	return fields
}

func (p *proxy) run(ctx context.Context, address string) error {
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return err
	}
	defer connection.Close()
	client := discovery.NewAggregatedDiscoveryServiceClient(connection)
	stream, err := client.DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	for _, typeURL := range []string{clusterType, listenerType} {
		// No names means all of the type, as Envoy asks.
		if err := stream.Send(&discovery.DeltaDiscoveryRequest{Node: p.node, TypeUrl: typeURL}); err != nil {
			return err
		}
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, request := range p.answer(response) {
			if err := stream.Send(request); err != nil {
				return err
			}
		}
	}
}

// answer counts a response and returns the acknowledgement, and a subscription where there are new names.
func (p *proxy) answer(response *discovery.DeltaDiscoveryResponse) []*discovery.DeltaDiscoveryRequest {
	p.counters.bytes.Add(int64(proto.Size(response)))
	p.counters.responses.Add(1)
	p.counters.resources.Add(int64(len(response.Resources) + len(response.RemovedResources)))
	p.markReceived(response.TypeUrl)
	acknowledgement := &discovery.DeltaDiscoveryRequest{TypeUrl: response.TypeUrl, ResponseNonce: response.Nonce}
	requests := []*discovery.DeltaDiscoveryRequest{acknowledgement}
	if p.rejects {
		acknowledgement.ErrorDetail = &rpcstatus.Status{Code: int32(codes.Internal), Message: "refused on purpose"}
		return requests
	}
	switch response.TypeUrl {
	case clusterType:
		requests = p.subscribe(requests, endpointType, clusterNames(response), response.RemovedResources)
	case listenerType:
		requests = p.subscribe(requests, routeType, routeNames(response), nil)
	}
	return requests
}

func (p *proxy) markReceived(typeURL string) {
	if p.received[typeURL] {
		return
	}
	p.received[typeURL] = true
	if len(p.received) == 4 {
		p.counters.ready.Add(1)
	}
}

func (p *proxy) subscribe(
	requests []*discovery.DeltaDiscoveryRequest, typeURL string, names, removed []string,
) []*discovery.DeltaDiscoveryRequest {
	request := &discovery.DeltaDiscoveryRequest{TypeUrl: typeURL}
	known := p.subscribed[typeURL]
	for _, name := range names {
		if !known[name] {
			known[name] = true
			request.ResourceNamesSubscribe = append(request.ResourceNamesSubscribe, name)
		}
	}
	for _, name := range removed {
		if known[name] {
			delete(known, name)
			request.ResourceNamesUnsubscribe = append(request.ResourceNamesUnsubscribe, name)
		}
	}
	if len(request.ResourceNamesSubscribe)+len(request.ResourceNamesUnsubscribe) == 0 {
		return requests
	}
	return append(requests, request)
}

// clusterNames are those of clusters with endpoints from istiod; the others have their own.
func clusterNames(response *discovery.DeltaDiscoveryResponse) []string {
	var names []string
	for _, resource := range response.Resources {
		if strings.HasPrefix(resource.Name, "outbound|") {
			names = append(names, resource.Name)
		}
	}
	return names
}
