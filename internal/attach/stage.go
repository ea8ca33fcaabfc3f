package attach

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
)

// deployments gives the description of every deployment, by id.
func (c *Clients) deployments(ctx context.Context, a *API) (map[string]string, error) {
	all := map[string]string{}
	if a.Kind == HTTP {
		in := &apigatewayv2.GetDeploymentsInput{ApiId: &a.ID}
		for {
			out, err := c.HTTP.GetDeployments(ctx, in)
			if err != nil {
				return nil, failed("read the deployments", err)
			}
			for _, d := range out.Items {
				all[aws.ToString(d.DeploymentId)] = aws.ToString(d.Description)
			}
			if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
				return all, nil
			}
		}
	}
	in := &apigateway.GetDeploymentsInput{RestApiId: &a.ID, Limit: aws.Int32(500)}
	for {
		out, err := c.REST.GetDeployments(ctx, in)
		if err != nil {
			return nil, failed("read the deployments", err)
		}
		for _, d := range out.Items {
			all[aws.ToString(d.Id)] = aws.ToString(d.Description)
		}
		if in.Position = out.Position; aws.ToString(in.Position) == "" {
			return all, nil
		}
	}
}

// made picks the deployments of this attachment.
func (s *State) made(all map[string]string) []string {
	var ids []string
	for id, description := range all {
		if strings.HasPrefix(description, s.mark()+":") {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// deploy makes a deployment of the working copy that no stage has yet, and gives its id. What
// it made is found again by the description, should the answer be lost.
func (c *Clients) deploy(ctx context.Context, a *API, description string) (string, error) {
	known, err := c.deployments(ctx, a)
	if err != nil {
		return "", err
	}
	var id *string
	if a.Kind == HTTP {
		out, callErr := c.HTTP.CreateDeployment(ctx, &apigatewayv2.CreateDeploymentInput{ApiId: &a.ID, Description: &description})
		if err = callErr; err == nil {
			id = out.DeploymentId
		}
	} else {
		out, callErr := c.REST.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{RestApiId: &a.ID, Description: &description})
		if err = callErr; err == nil {
			id = out.Id
		}
	}
	if err == nil {
		return aws.ToString(id), nil
	}
	now, lookErr := c.deployments(ctx, a)
	if lookErr != nil {
		return "", failed("make a deployment", err)
	}
	for id, text := range now {
		if _, old := known[id]; !old && text == description {
			return id, nil
		}
	}
	return "", failed("make a deployment", err)
}

// readStage reads a stage anew; ok is false when it is gone.
func (c *Clients) readStage(ctx context.Context, a *API) (s stage, ok bool, err error) {
	var raw []byte
	if a.Kind == HTTP {
		_, err = c.HTTP.GetStage(withRaw(ctx, &raw), &apigatewayv2.GetStageInput{ApiId: &a.ID, StageName: &a.Stage})
	} else {
		_, err = c.REST.GetStage(withRaw(ctx, &raw), &apigateway.GetStageInput{RestApiId: &a.ID, StageName: &a.Stage})
	}
	if notFound(err) {
		return s, false, nil
	}
	if err != nil {
		return s, false, failed("read stage "+a.Stage, err)
	}
	s, err = decodeStage(raw)
	return s, err == nil, err
}

// point makes a stage serve a deployment: live with this one call.
func (c *Clients) point(ctx context.Context, a *API, deployment string) error {
	var err error
	if a.Kind == HTTP {
		_, err = c.HTTP.UpdateStage(ctx, &apigatewayv2.UpdateStageInput{ApiId: &a.ID, StageName: &a.Stage, DeploymentId: &deployment})
	} else {
		err = c.patchStage(ctx, a, patch(types.OpReplace, "/deploymentId", deployment))
	}
	if err == nil {
		return nil
	}
	if s, ok, lookErr := c.readStage(ctx, a); lookErr == nil && ok && s.DeploymentID == deployment {
		return nil
	}
	return failed(fmt.Sprintf("point stage %s to deployment %s", a.Stage, deployment), err)
}

func patch(op types.Op, path, value string) types.PatchOperation {
	p := types.PatchOperation{Op: op, Path: &path}
	if op != types.OpRemove {
		p.Value = &value
	}
	return p
}

func (c *Clients) patchStage(ctx context.Context, a *API, ops ...types.PatchOperation) error {
	_, err := c.REST.UpdateStage(ctx, &apigateway.UpdateStageInput{RestApiId: &a.ID, StageName: &a.Stage, PatchOperations: ops})
	return err
}

// canary leads a share of a stage's calls to a deployment.
func (c *Clients) canary(ctx context.Context, a *API, deployment string, percent float64) error {
	err := c.patchStage(ctx, a,
		patch(types.OpReplace, "/canarySettings/percentTraffic", strconv.FormatFloat(percent, 'f', -1, 64)),
		patch(types.OpReplace, "/canarySettings/deploymentId", deployment))
	if err == nil {
		return nil
	}
	if s, ok, lookErr := c.readStage(ctx, a); lookErr == nil && ok && s.Canary != nil && s.Canary.DeploymentID == deployment && s.Canary.Percent == percent {
		return nil
	}
	return failed("lead a share of stage "+a.Stage+" to the canary", err)
}

// noCanary ends a stage's canary; its calls go to the stage's own deployment again.
func (c *Clients) noCanary(ctx context.Context, a *API) error {
	err := c.patchStage(ctx, a, patch(types.OpRemove, "/canarySettings", ""))
	if err == nil {
		return nil
	}
	if s, ok, lookErr := c.readStage(ctx, a); lookErr == nil && ok && s.Canary == nil {
		return nil
	}
	return failed("end the canary of stage "+a.Stage, err)
}

// forget deletes deployments of ours. AWS refuses to delete what a stage still serves; such
// are given back.
func (c *Clients) forget(ctx context.Context, a *API, ids []string, serving func(id string) bool) (left []string, err error) {
	for _, id := range ids {
		if serving(id) {
			left = append(left, id)
			continue
		}
		if a.Kind == HTTP {
			_, err = c.HTTP.DeleteDeployment(ctx, &apigatewayv2.DeleteDeploymentInput{ApiId: &a.ID, DeploymentId: &id})
		} else {
			_, err = c.REST.DeleteDeployment(ctx, &apigateway.DeleteDeploymentInput{RestApiId: &a.ID, DeploymentId: &id})
		}
		if err != nil && !notFound(err) {
			return left, failed("delete deployment "+id, err)
		}
	}
	return left, nil
}
