// Package terraform is not a package but a folder of Terraform modules with tests beside them:
// formatted, valid, applied to an emulator of AWS, a second plan that is empty, destroyed.
//
// What a newcomer gets wrong: what the emulator does otherwise than AWS is put right in
// testdata/moto.py or switched off by a variable of the module, never left out of the module.
package terraform
