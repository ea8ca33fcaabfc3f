package attach

import (
	"context"
	"fmt"
	"slices"
)

// planGroups compares the rules of the security groups that the API reached through.
func (r *restorer) planGroups(ctx context.Context) error {
	for _, was := range r.was.Groups {
		is, ok, err := r.c.readGroup(ctx, was.ID)
		if notFound(err) {
			r.left("security group %s (%s) was deleted: make it again and give it to what used it, for its id cannot be chosen", was.ID, was.Name)
			continue
		}
		if err != nil {
			return failed("read security group "+was.ID, err)
		}
		if ok {
			r.planRules(was, is)
		}
	}
	return r.planUsers(ctx)
}

func (r *restorer) planRules(was, is SecurityGroup) {
	in := func(rules []GroupRule, rule GroupRule) bool {
		return slices.ContainsFunc(rules, func(o GroupRule) bool { return o.same() == rule.same() })
	}
	for _, rule := range was.Rules {
		if !in(is.Rules, rule) {
			r.step("make", fmt.Sprintf("rule of security group %s (%s): %s", was.ID, was.Name, rule), nil, func(ctx context.Context) error {
				return r.c.allowRule(ctx, was.ID, rule)
			})
		}
	}
	for _, rule := range is.Rules {
		if !in(was.Rules, rule) {
			r.extra(fmt.Sprintf("rule of security group %s (%s): %s", was.ID, was.Name, rule), func(ctx context.Context) error {
				return r.c.revokeRule(ctx, was.ID, rule)
			})
		}
	}
}

// planUsers says who has no longer the groups that it had. Whose they are changes them.
func (r *restorer) planUsers(ctx context.Context) error {
	if len(r.was.Users) == 0 {
		return nil
	}
	now := &Backup{API: r.was.API, Parts: r.was.Parts}
	if err := r.c.readUsers(ctx, now, nil); err != nil {
		return err
	}
	for _, was := range r.was.Users {
		var is []string
		for _, u := range now.Users {
			if u.Kind == was.Kind && u.Name == was.Name {
				is = u.Groups
			}
		}
		if !slices.Equal(was.Groups, is) {
			r.left("%s %s had the security groups %s, now %s: change that there", was.Kind, was.Name, listed(was.Groups), listed(is))
		}
	}
	return nil
}
