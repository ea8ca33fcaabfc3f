//go:build mandoc

package main

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// The manual pages come from the commands themselves. What writes them is linked only for that:
//
//	go run -tags mandoc ./cmd/tapway man DIRECTORY
func init() {
	moreCommands = append(moreCommands, func() *cobra.Command {
		return &cobra.Command{
			Use: "man DIRECTORY", Short: "Write the manual pages into a directory", Hidden: true,
			Args: args(1, 1, "the directory"),
			RunE: func(cmd *cobra.Command, args []string) error {
				header := &doc.GenManHeader{Section: "1", Source: "tapway", Manual: "tapway", Date: new(time.Time)}
				*header.Date = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) // the same bytes every time
				root := cmd.Root()
				root.DisableAutoGenTag = true
				return doc.GenManTree(root, header, args[0])
			},
		}
	})
}
