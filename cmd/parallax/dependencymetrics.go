package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"parallax/ui"
)

// dependencyCollector exports what /readyz says of each dependency, and of the Redis that the
// queue is in.
type dependencyCollector struct {
	dependencies func(context.Context) []ui.Dependency
	ok           *prometheus.Desc
}

func newDependencyCollector(dependencies func(context.Context) []ui.Dependency) prometheus.Collector {
	return dependencyCollector{dependencies, prometheus.NewDesc("parallax_dependency_ok",
		"1 while a dependency does what it is for, 0 while it does not; callers are served either way. It is on the health page and in /readyz in words.", []string{"dependency"}, nil)}
}

// Describe implements prometheus.Collector.
func (c dependencyCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.ok }

// Collect implements prometheus.Collector.
func (c dependencyCollector) Collect(ch chan<- prometheus.Metric) {
	for _, d := range c.dependencies(context.Background()) {
		value := 0.0
		if d.OK {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(c.ok, prometheus.GaugeValue, value, d.Name)
	}
}
