//go:build cgo

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// task is what the environment asks for. Its methods panic where a variable is
// missing or no number: the plan is wrong then, and no feature can go on.
type task struct {
	technique string
	seed      uint64
}

func newTask(technique string) (*task, error) {
	seed, err := strconv.ParseUint(os.Getenv("ZM_SEED"), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read ZM_SEED: %w", err)
	}
	return &task{technique: technique, seed: seed}, nil
}

// variable of prefix and key: "ZM_PARAM_", "gc-every" is ZM_PARAM_GC_EVERY.
func variable(prefix, key string) string {
	return os.Getenv(prefix + strings.ReplaceAll(strings.ToUpper(key), "-", "_"))
}

func (t *task) number(key string) int {
	return parameterNumber(key, variable("ZM_PARAM_", key))
}

func (t *task) numbers(key string) []int {
	var numbers []int
	for part := range strings.SplitSeq(variable("ZM_PARAM_", key), ",") {
		numbers = append(numbers, parameterNumber(key, part))
	}
	return numbers
}

func parameterNumber(key, text string) int {
	number, err := strconv.ParseUint(text, 10, 62)
	if err != nil {
		panic(fmt.Errorf("read parameter %s: %w", key, err))
	}
	return int(number)
}

// endpoint is the address of the lane's socket of that name; "" is its first.
func (t *task) endpoint(name string) string {
	address := os.Getenv("ZM_ENDPOINT")
	if name != "" {
		address = variable("ZM_ENDPOINT_", name)
	}
	if address == "" {
		panic(fmt.Errorf("the lane has no socket %q", name))
	}
	return address
}
