// operators/registry.h: the operators that `weir run` knows by name.
#ifndef WEIR_OPERATORS_REGISTRY_H_
#define WEIR_OPERATORS_REGISTRY_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/runtime/operator.h"

namespace weir {

// A parameter of an operator; a flag of the same name on the command line.
struct OperatorParam {
  std::string name;                  // "mention-weight"
  std::string help;
  std::string default_value;
  std::vector<std::string> choices;  // empty: any text
};

struct OperatorInfo {
  std::string name, summary;
  std::vector<OperatorParam> params;
  // `values`: one for each parameter, already among its choices. Errors: kInvalidArgument.
  std::function<absl::StatusOr<Operator>(const std::map<std::string, std::string>& values)> make;
};

const std::vector<OperatorInfo>& Registry();
// nullptr: no such operator.
const OperatorInfo* FindOperator(std::string_view name);

}  // namespace weir

#endif  // WEIR_OPERATORS_REGISTRY_H_
