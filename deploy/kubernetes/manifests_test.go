package kubernetes

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

// manifests are the documents of a file, by kind and name, decoded into Kubernetes' own types. A field that
// those do not have, or of another type, is an error, as it is for `kubectl apply --validate=strict`.
func manifests(text []byte) (map[string]metav1.Object, error) {
	all := map[string]metav1.Object{}
	r := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text)))
	defer r.Close()
	buffer := make([]byte, len(text)+1)
	for {
		n, err := r.Read(buffer)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		doc := buffer[:n]
		var head metav1.TypeMeta
		if err := strict.Unmarshal(doc, &head); err != nil {
			return nil, err
		}
		var object metav1.Object
		switch head.APIVersion + " " + head.Kind {
		case "v1 ConfigMap":
			object = new(corev1.ConfigMap)
		case "v1 Service":
			object = new(corev1.Service)
		case "policy/v1 PodDisruptionBudget":
			object = new(policyv1.PodDisruptionBudget)
		case "networking.k8s.io/v1 NetworkPolicy":
			object = new(networkingv1.NetworkPolicy)
		case "apps/v1 StatefulSet":
			object = new(appsv1.StatefulSet)
		default:
			return nil, fmt.Errorf("%s %s: no such kind is looked for", head.APIVersion, head.Kind)
		}
		if err := strict.UnmarshalStrict(doc, object); err != nil {
			return nil, fmt.Errorf("%s: %w", head.Kind, err)
		}
		all[head.Kind+" "+object.GetName()] = object
	}
}

func TestManifests(t *testing.T) {
	text, err := os.ReadFile("tapway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all, err := manifests(text)
	if err != nil {
		t.Fatal(err)
	}
	set, ok := all["StatefulSet tapway"].(*appsv1.StatefulSet)
	if !ok {
		t.Fatalf("no StatefulSet among %v", all)
	}
	pod := set.Spec.Template
	ports := map[string]bool{}
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			ports[p.Name] = true
		}
		for name, probe := range map[string]*corev1.Probe{"readiness": c.ReadinessProbe, "liveness": c.LivenessProbe, "startup": c.StartupProbe} {
			if probe == nil || probe.HTTPGet == nil || !ports[probe.HTTPGet.Port.StrVal] {
				t.Errorf("the %s probe asks a port that the container does not name: %v", name, probe)
			}
		}
		if s := c.SecurityContext; s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" {
			t.Errorf("%s does not fit the restricted Pod Security Standard: %v", c.Name, s)
		}
		volumes := map[string]bool{}
		for _, v := range pod.Spec.Volumes {
			volumes[v.Name] = v.ConfigMap == nil || all["ConfigMap "+v.ConfigMap.Name] != nil
		}
		for _, v := range set.Spec.VolumeClaimTemplates {
			volumes[v.Name] = true
		}
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s mounts %s, which is nowhere", c.Name, m.Name)
			}
		}
	}
	if s := pod.Spec.SecurityContext; s == nil || !*s.RunAsNonRoot || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod does not fit the restricted Pod Security Standard: %v", s)
	}
	if all["Service "+set.Spec.ServiceName] == nil {
		t.Errorf("there is no Service %s for the StatefulSet", set.Spec.ServiceName)
	}
	selects := func(what string, selector map[string]string) {
		if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s selects %v, not the pods with %v", what, selector, pod.Labels)
		}
	}
	selects("the StatefulSet", set.Spec.Selector.MatchLabels)
	for name, object := range all {
		switch o := object.(type) {
		case *corev1.Service:
			selects(name, o.Spec.Selector)
			for _, p := range o.Spec.Ports {
				if !ports[p.TargetPort.StrVal] {
					t.Errorf("%s sends to the port %q, which the container does not name", name, p.TargetPort.StrVal)
				}
			}
		case *policyv1.PodDisruptionBudget:
			selects(name, o.Spec.Selector.MatchLabels)
		case *networkingv1.NetworkPolicy:
			selects(name, o.Spec.PodSelector.MatchLabels)
		}
	}
}

// TestStrict: a mistake in a manifest is noticed.
func TestStrict(t *testing.T) {
	text, err := os.ReadFile("tapway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"readinessProbe:": "readynessProbe:", "replicas: 2": "replicas: two", "storage: 20Gi": "storage: 20Gigs", "kind: PodDisruptionBudget": "kind: PodDisruptionBudgets",
		"whenUnsatisfiable: ": "whenUnsatisfied: ",
	} {
		wrong := bytes.Replace(text, []byte(from), []byte(to), 1)
		if bytes.Equal(wrong, text) {
			t.Fatalf("%q is not in the file", from)
		}
		if _, err := manifests(wrong); err == nil {
			t.Errorf("%q instead of %q passes", to, from)
		}
	}
}
