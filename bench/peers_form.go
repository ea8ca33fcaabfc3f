package main

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var (
	peersHad = flag.String("peers", "", "measure beside other proxies instead: the directory that bench/peers/get has filled; `make bench-peers` does both")
	formName = flag.String("form", "full", "peers: quick, middle or full: how much is measured; the page says what that is")
	quick    = flag.Bool("quick", false, "peers: the same as -form quick")
	minutes  = flag.Float64("minutes", 0, "peers: nothing more is begun after so long; default what the form says, and without end for full")
	resume   = flag.Bool("resume", false, "peers: go on with the run that was broken off, or write its page anew when nothing is left to measure")
	outFile  = flag.String("out", "", "peers: where the page goes; default only the standard output")
	methods  = flag.String("methods", "POST,GET", "peers: methods of the form full")
	sizes    = flag.String("sizes", "1,10,100", "peers: KiB of a POST and of each answer, of the form full")
	connList = flag.String("connection-list", "16,64,256", "peers: numbers of connections of the form full")
	onlyOf   = flag.String("only-peers", "", "peers: only contenders whose names contain one of these words, separated by commas, beside the first")
)

// form is how much one run measures.
type form struct {
	name   string
	about  string
	cells  []cell
	rounds int
	limit  time.Duration // nothing is begun after it; 0 is no limit
}

// cell is one kind of call under one load.
type cell struct {
	method      string
	size        int
	connections int
}

func (c cell) String() string {
	return fmt.Sprintf("%s, %d KiB, %d connections", c.method, c.size>>10, c.connections)
}

// bodies is how many bodies a record of such a call has.
func (c cell) bodies() int {
	if c.method == "GET" {
		return 1
	}
	return 2
}

// chosenForm is the form that the flags ask for.
func chosenForm() (f form, err error) {
	const kib = 1 << 10
	post, get := "POST", "GET"
	switch name := *formName; {
	case *quick || name == "quick":
		f = form{name: "quick", rounds: 4, limit: 12 * time.Minute,
			about: "a part of the calls: POSTs of 1 and 10 KiB and GETs of 1 KiB, over 64 connections. 100 KiB, 16 and 256 connections are left to the forms `middle` and `full`",
			cells: []cell{{post, kib, 64}, {post, 10 * kib, 64}, {get, kib, 64}}}
	case name == "middle":
		f = form{name: "middle", rounds: 3, limit: 30 * time.Minute,
			about: "POSTs and GETs of 1, 10 and 100 KiB over 64 connections, and of 1 KiB over 16 and 256. 10 and 100 KiB over 16 and 256 connections are left to the form `full`"}
		for _, size := range []int{kib, 10 * kib, 100 * kib} {
			f.cells = append(f.cells, cell{post, size, 64}, cell{get, size, 64})
		}
		for _, connections := range []int{16, 256} {
			f.cells = append(f.cells, cell{post, kib, connections}, cell{get, kib, connections})
		}
	case name == "full":
		f = form{name: "full", rounds: 5, about: "every call of every size over every number of connections"}
		if *methods != "POST,GET" || *sizes != "1,10,100" || *connList != "16,64,256" {
			f.about = "what the flags ask for"
		}
		f.cells, err = allCells()
	default:
		err = fmt.Errorf("-form: %q is not quick, middle or full", name)
	}
	flag.Visit(func(given *flag.Flag) {
		switch given.Name {
		case "rounds":
			f.rounds = *rounds
		case "minutes":
			f.limit = time.Duration(*minutes * float64(time.Minute))
		}
	})
	if err == nil && f.rounds < 1 {
		err = errors.New("-rounds: at least one")
	}
	return f, err
}

// allCells is each method with each size and each number of connections that the flags name.
func allCells() (all []cell, err error) {
	for method := range strings.SplitSeq(*methods, ",") {
		for size := range strings.SplitSeq(*sizes, ",") {
			for connections := range strings.SplitSeq(*connList, ",") {
				kib, err := strconv.Atoi(size)
				if err != nil || kib != 1 && kib != 10 && kib != 100 {
					return nil, fmt.Errorf("-sizes: %q is not 1, 10 or 100, which are the backend's answers", size)
				}
				n, err := strconv.Atoi(connections)
				if err != nil || n < 1 {
					return nil, fmt.Errorf("-connection-list: %q is not a number of connections", connections)
				}
				if method != "GET" && method != "POST" {
					return nil, fmt.Errorf("-methods: %q is neither GET nor POST", method)
				}
				all = append(all, cell{method, kib << 10, n})
			}
		}
	}
	return all, nil
}

// command is how to make such a run again.
func (f form) command() string {
	given := []string{"-form " + f.name}
	flag.Visit(func(one *flag.Flag) {
		switch one.Name {
		case "peers", "out", "seconds", "form", "quick", "resume":
		default:
			given = append(given, "-"+one.Name+" "+one.Value.String())
		}
	})
	return fmt.Sprintf("make bench-peers PEER_FLAGS=%q", strings.Join(given, " "))
}

// left is whether there is time for one more cell, the longest of which took so long before.
func (f form) left(since time.Time, last time.Duration) bool {
	return f.limit == 0 || time.Since(since)+last <= f.limit
}
