"""Array types. In shapes: n cases, M members, J = M(M-1)/2 pairs, d numbers an embedding."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]
Numbers = npt.NDArray[np.floating]
Marks = Numbers | Bools  # 1 or True = yes, 0 or False = no; NaN, where allowed, = unknown
Json = dict[str, object]
