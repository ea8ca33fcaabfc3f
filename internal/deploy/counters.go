package deploy

import (
	"fmt"
	"strings"

	"github.com/tapway/tapway/internal/config"
)

// Counting is how the functions count calls for rates, quotas and the day's ceilings.
type Counting struct {
	DailyCalls int     // 0: no ceiling
	DailyCost  float64 // US dollars; 0: no ceiling
	Shared     bool    // something is counted, and no place is named: the module makes a table for it
	Table      string  // that access.counters names; "" if none
}

// MakesTable reports whether an installation has a DynamoDB table of its own.
func (c Counting) MakesTable(project string) bool {
	return c.Shared || c.Table != "" && c.Table == project+"-counters" // as the module names its own
}

// CountingOf is what a tapway.yaml says about counting. It is good only if ReadSettings has found nothing wrong.
func CountingOf(c *config.Config) Counting {
	table, _ := c.Access.CounterTable()
	auto := c.Access.Counters == "auto" || c.Access.Counters == ""
	return Counting{DailyCalls: c.Limits.DailyCalls, DailyCost: c.Limits.DailyCost, Shared: auto && len(c.Counts()) > 0, Table: table}
}

// ofMachines reports whether a problem is in a part of the file that the functions do without. Of the limits these
// are all but the day's ceilings; a misspelt key may have been meant as one of them.
func ofMachines(p config.Problem) bool {
	if rest, ok := strings.CutPrefix(p.Key, "limits"); ok {
		return rest != "" && !strings.HasPrefix(rest, ".daily_") && p.Message != "unknown key"
	}
	return true
}

// counting reads how calls are counted, and refuses what Terraform cannot know or the module does not take.
// limits is the file's section as it stands there.
func (s *Settings) counting(file string, limits any) error {
	access, _ := s.More["access"].(map[string]any)
	section, _ := limits.(map[string]any)
	for key, value := range map[string]any{"limits.daily_calls": section["daily_calls"], "limits.daily_cost": section["daily_cost"], "access.counters": access["counters"]} {
		if text, ok := value.(string); ok && strings.Contains(text, "${") {
			return fmt.Errorf("%s: %s: Terraform has to know it, to make the table and the permission; write the value in place of the reference", file, key)
		}
	}
	s.Counting = CountingOf(s.Config)
	if s.DailyCost > 0 && s.DailyCost < 0.01 { // as the module wants it
		return fmt.Errorf("%s: limits.daily_cost: $%v a day would refuse nearly every call; write US dollars from 0.01 up, or 0 for no ceiling", file, s.DailyCost)
	}
	s.warnOfVPC(s.Config.AWS.VPC)
	return nil
}

// warnOfVPC tells what functions in a VPC need in order to count. Of a prefix list only its description says
// where it leads.
func (s *Settings) warnOfVPC(v *config.AWSVPC) {
	if v == nil || !s.Shared && s.Table == "" || len(v.SecurityGroups) > 0 {
		return
	}
	for _, e := range v.Egress {
		if e.To == "0.0.0.0/0" || strings.Contains(strings.ToLower(e.Description), "dynamodb") {
			return
		}
	}
	s.Warnings = append(s.Warnings, "the functions count calls in DynamoDB, and no rule of aws.vpc.egress says that it leads there; give the VPC a gateway endpoint for DynamoDB, which costs nothing, and write {to: pl-..., description: DynamoDB}")
}
