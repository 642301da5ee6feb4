package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CellCredentials are a certificate of a cell, and whom the cell trusts. Keys
// are not kept: they follow from the authority, the attempt and the number.
type CellCredentials struct {
	// number counts the certificates after the attempt's first, which is 0.
	// +kubebuilder:validation:Minimum=0
	Number int32 `json:"number"`
	// authority is the ID of the certificate authority that signed: 16 hex digits
	// of its certificate's SHA-256.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Authority string `json:"authority,omitempty"`
	// startTime is when the certificate was decided on; its dates follow from it.
	StartTime metav1.Time `json:"startTime"`
	// endTime is when the certificate ends.
	EndTime metav1.Time `json:"endTime"`
	// trusts are the IDs of the authorities whose clients the cell lets in.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MaxLength=16
	Trusts []string `json:"trusts,omitempty"`
}

// CellIdentity is what a cell proves itself with, and what it is about to.
type CellIdentity struct {
	// attempt is the launch attempt that all this is about.
	Attempt         int32 `json:"attempt"`
	CellCredentials `json:",inline"`
	// next are written before the agent is given them.
	// +optional
	Next *CellCredentials `json:"next,omitempty"`
}

// ConditionRenewable is of a Cell, and only there once it was in question: its
// agent has taken, or cannot take, new credentials.
const ConditionRenewable = "CredentialsRenewable"

// Reasons of ConditionRenewable, and of events about the authority's Secret.
const (
	ReasonCredentialsTaken  = "CredentialsTaken"
	ReasonAgentTakesNone    = "AgentTakesNoCredentials"
	ReasonRenewalFailed     = "RenewalFailed"
	ReasonAuthorityReplaced = "AuthorityReplaced"
	ReasonAuthorityDropped  = "AuthorityDropped"
	ReasonAuthorityLost     = "AuthorityLost"
	ReasonAuthorityRestored = "AuthorityRestored"
	ReasonAuthorityUnusable = "AuthorityUnusable"
)

// Annotations of the Secret that holds the certificate authority of cells.
const (
	// AnnotationRotate asks the operator to replace the authority. The value,
	// which is not empty, is for people: when it was asked.
	AnnotationRotate = "kip.elotl.co/rotate-ca"
	// AnnotationAuthority and AnnotationPreviousAuthority are the IDs of the
	// authorities that the Secret holds, for who may not see its keys.
	AnnotationAuthority         = "kip.elotl.co/authority"
	AnnotationPreviousAuthority = "kip.elotl.co/previous-authority"
	// AnnotationRotated is when the authority was replaced last, RFC 3339.
	AnnotationRotated = "kip.elotl.co/rotated"
)
