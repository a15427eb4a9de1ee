/* The tables of pe_code.h as data: names of the codes in order, and where each field of a record lies. Lists end with NULL. */
#ifndef WSEKERN_PE_TABLES_H
#define WSEKERN_PE_TABLES_H

#include <stddef.h>

#include "pe_code.h"

#define PE_AS_NAME(name) #name,
static const char *pe_form_names[] = { PE_FORM_TABLE(PE_AS_NAME) NULL };
static const char *pe_op_names[] = { PE_OP_TABLE(PE_AS_NAME) NULL };
static const char *pe_type_names[] = { PE_TYPE_TABLE(PE_AS_NAME) NULL };
static const char *pe_kind_names[] = { PE_KIND_TABLE(PE_AS_NAME) NULL };

/* A field of a record: its name, its first byte, and how many int32 it has as an array; 0: it is one int32. */
typedef struct { const char *name; int32_t offset, count; } pe_field;

#define PE_AS_FIELD(name) { #name, offsetof(PE_RECORD, name), 0 },
#define PE_AS_FIELDS(name, n) { #name, offsetof(PE_RECORD, name), n },

#define PE_RECORD pe_descriptor
static const pe_field pe_descriptor_fields[] = { PE_DESCRIPTOR_TABLE(PE_AS_FIELD, PE_AS_FIELDS) { NULL, 0, 0 } };
#undef PE_RECORD

#define PE_RECORD pe_instruction
static const pe_field pe_instruction_fields[] = { PE_INSTRUCTION_TABLE(PE_AS_FIELD, PE_AS_FIELDS) { NULL, 0, 0 } };
#undef PE_RECORD

#define PE_RECORD pe_program
static const pe_field pe_program_fields[] = { PE_PROGRAM_TABLE(PE_AS_FIELD, PE_AS_FIELDS) { NULL, 0, 0 } };
#undef PE_RECORD

#define PE_RECORD pe_latency
static const pe_field pe_latency_fields[] = { PE_LATENCY_TABLE(PE_AS_FIELD, PE_AS_FIELDS) { NULL, 0, 0 } };
#undef PE_RECORD

#endif
