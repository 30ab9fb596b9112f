package main

import (
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	manager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// routeNames are the route configurations that the listeners of a response take from istiod.
func routeNames(response *discovery.DeltaDiscoveryResponse) []string {
	var names []string
	for _, resource := range response.Resources {
		var each listener.Listener
		if resource.Resource.UnmarshalTo(&each) != nil {
			continue
		}
		chains := each.FilterChains
		if each.DefaultFilterChain != nil {
			chains = append(chains, each.DefaultFilterChain)
		}
		for _, chain := range chains {
			for _, filter := range chain.Filters {
				var http manager.HttpConnectionManager
				if filter.GetTypedConfig().UnmarshalTo(&http) != nil {
					continue
				}
				if name := http.GetRds().GetRouteConfigName(); name != "" {
					names = append(names, name)
				}
			}
		}
	}
	return names
}
